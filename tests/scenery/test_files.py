"""Small files that others read: what tells one from another, and who may not be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenery.files import replace_text, stamp
from scenery.stack.local_config import LocalConfig


def test_a_file_that_is_replaced_has_another_stamp(tmp_path: Path):
    """The same text in another file is another file."""
    file = tmp_path / "file"
    file.write_text("text")
    before = stamp(file)
    assert stamp(file) == before
    replace_text(file, "text")
    assert stamp(file) not in (before, None)


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
