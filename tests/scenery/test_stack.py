"""``serving.config`` on a bare machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenery.errors import ConfigurationError
from scenery.stack.local_config import localize, model_names
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
