"""Small files that others read: what tells one from another, and who may not be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenery.files import replace_text, replaced, stamp
from scenery.stack.local_config import LocalConfig


def test_a_file_that_is_replaced_has_another_stamp(tmp_path: Path):
    """The same text in another file is another file."""
    file = tmp_path / "file"
    file.write_text("text")
    before = stamp(file)
    assert stamp(file) == before
    replace_text(file, "text")
    assert stamp(file) not in (before, None)


def test_what_is_interrupted_leaves_the_file_and_nothing_beside_it(tmp_path: Path):
    """Whatever ends the writing, an error or Ctrl-C, the file has its old text, and the folder no other file."""
    file = tmp_path / "file.h5"
    file.write_text("old")

    def write_half(ending: type[BaseException]) -> None:
        with replaced(file) as staged:
            assert (staged.suffix, staged.stat().st_mode & 0o077) == (".h5", 0)
            staged.write_text("half")
            raise ending

    for ending in (ValueError, KeyboardInterrupt):
        with pytest.raises(ending):
            write_half(ending)
    assert [path.name for path in tmp_path.iterdir()] == ["file.h5"]
    assert file.read_text() == "old"


def test_texts_are_written_as_they_are(tmp_path: Path):
    """Letters and line ends do not depend on the machine; a link stays one, and permissions stay."""
    file, link = tmp_path / "file", tmp_path / "link"
    file.touch(mode=0o600)
    link.symlink_to(file)
    replace_text(link, "ü\r\n")
    assert file.read_bytes() == b"\xc3\xbc\r\n"
    assert (link.is_symlink(), file.stat().st_mode & 0o777) == (True, 0o600)


def test_only_a_file_that_is_missing_has_no_stamp(tmp_path: Path):
    """A file that the system does not let anybody see is an error, and not a file that was removed."""
    file, loop = tmp_path / "file", tmp_path / "loop"
    assert stamp(file) is None
    file.touch()
    assert stamp(file / "below") is None
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="Too many levels"):
        stamp(loop)


def test_a_configuration_that_cannot_be_reached_is_told_once(tmp_path: Path):
    """What serves goes on with the last configuration, and people are told what is wrong with the edit."""
    file = tmp_path / "serving.config"
    file.write_text('model_config_list { config { name: "a" base_path: "/srv/a" model_platform: "tensorflow" } }')
    config = LocalConfig(file, tmp_path, tmp_path / "copy")
    before = config.copy.read_text()
    file.unlink()
    file.symlink_to(file)
    assert "serving.config" in (config.follow() or "")
    assert config.follow() is None
    assert config.copy.read_text() == before
