"""Which versions a policy asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from scenery import wire
from serving.source import aspired_versions


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", [10]),
        ("latest {}", [10]),
        ("latest { num_versions: 2 }", [2, 10]),
        ("all {}", [1, 2, 10]),
        ("specific { versions: 1 versions: 2 }", [1, 2]),
        ("specific { versions: 7 }", []),
    ],
)
def test_the_policy_chooses_among_the_numbered_folders(tmp_path: Path, policy: str, versions: list[int]):
    """Versions are folders named by a number; the highest number is the latest."""
    for name in ("1", "2", "10", "tmp", ".incoming-1"):
        (tmp_path / name).mkdir()
    (tmp_path / "11").touch()
    config = text_format.Parse(
        f"model_config_list {{ config {{ model_version_policy {{ {policy} }} }} }}",
        wire.ModelServerConfig(),
        descriptor_pool=wire.pool,
    )
    (model,) = config.model_config_list.config
    assert aspired_versions(tmp_path, model.model_version_policy) == {v: tmp_path / str(v) for v in versions}


def test_a_missing_folder_says_nothing(tmp_path: Path):
    """A base path that cannot be read is told apart from one without versions."""
    policy = wire.ModelConfig().model_version_policy
    (tmp_path / "empty").mkdir()
    assert aspired_versions(tmp_path / "none", policy) is None
    assert aspired_versions(tmp_path / "empty", policy) == {}
