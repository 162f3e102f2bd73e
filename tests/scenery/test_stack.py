"""``serving.config`` on a bare machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenery.errors import ConfigurationError, StackError
from scenery.stack.local_config import localize, model_names
from scenery.stack.supervisor import ServerKind, StackOptions, server_command
from tests.processes import ROOT


def test_the_containers_root_becomes_the_local_folder(tmp_path: Path):
    """Only the root of a base path changes; names and policies stay."""
    text = localize(ROOT / "serving.config", tmp_path)
    assert f'base_path: "{tmp_path}/scenery"' in text
    assert "num_versions: 1" in text
    assert model_names(text) == ["scenery"]


def test_other_paths_stay(tmp_path: Path):
    """A base path elsewhere is left alone."""
    config = tmp_path / "other.config"
    config.write_text('model_config_list { config { name: "a" base_path: "/srv/a" model_platform: "tensorflow" } }')
    assert 'base_path: "/srv/a"' in localize(config, tmp_path)


@pytest.mark.parametrize("content", [None, "model_config_list { nonsense"])
def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, content: str | None):
    """A missing or broken file is a configuration error that names it."""
    config = tmp_path / "some.config"
    if content:
        config.write_text(content)
    with pytest.raises(ConfigurationError, match=r"some\.config"):
        localize(config, tmp_path)


def stack(server: ServerKind) -> StackOptions:
    paths = (ROOT / "serving.config", Path("models"), Path("runs"))
    return StackOptions(server, "127.0.0.1", 1, 2, 3, *paths, prefer_tflite_model=True)


def test_litert_is_for_the_embedded_server():
    """Only it decodes beside a ``model.tflite``; with the other no photo would be answered."""
    assert "--prefer_tflite_model=true" in server_command(stack("embedded"), Path("x"))
    with pytest.raises(StackError, match="--server embedded"):
        server_command(stack("tensorflow"), Path("x"))
