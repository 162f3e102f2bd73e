"""Version folders: found, numbered, published in one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenery import versions
from scenery.errors import VersionError

LOCK = ".publishing.lock"


def test_only_numbers_are_versions(tmp_path: Path):
    """Folders with whole numbers for names count, whatever else lies there."""
    for name in ("1", "10", "2", ".incoming-x", "backup", "3.5", "-4", "²", "9" * 20):
        (tmp_path / name).mkdir()
    (tmp_path / "7").touch()
    assert versions.list_versions(tmp_path) == [1, 2, 10]
    assert versions.next_version(tmp_path) == 11


def test_the_first_version_is_one(tmp_path: Path):
    """A model without a folder starts at 1."""
    assert versions.next_version(tmp_path / "none") == 1


def test_publish_takes_the_next_number(tmp_path: Path):
    """A staged folder becomes the next version, whole."""
    (tmp_path / "4").mkdir()
    with versions.staged_version(tmp_path) as folder:
        (folder / "saved_model.pb").write_bytes(b"model")
        assert versions.list_versions(tmp_path) == [4]
        assert versions.publish(folder) == tmp_path / "5"
    assert (tmp_path / "5" / "saved_model.pb").read_bytes() == b"model"
    assert {child.name for child in tmp_path.iterdir()} == {"4", "5", ".last-version", LOCK}


def test_a_taken_number_is_refused(tmp_path: Path):
    """A version is never overwritten, not even an empty one."""
    (tmp_path / "1").mkdir()
    with pytest.raises(VersionError, match="exists already"), versions.staged_version(tmp_path) as folder:
        versions.publish(folder, 1)
    assert {child.name for child in tmp_path.iterdir()} == {"1", LOCK}


def test_a_failed_stage_leaves_nothing(tmp_path: Path):
    """Whatever goes wrong while a version is written, no trace of it stays."""

    def fail() -> None:
        with versions.staged_version(tmp_path) as folder:
            (folder / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [child.name for child in tmp_path.iterdir()] == [LOCK]


def test_a_number_taken_back_is_not_used_again(tmp_path: Path):
    """After a rollback the next version gets a number that nobody remembers as something else."""
    for _ in range(2):
        with versions.staged_version(tmp_path) as folder:
            versions.publish(folder)
    (tmp_path / "2").rename(tmp_path / "bad-2")
    assert versions.next_version(tmp_path) == 3
