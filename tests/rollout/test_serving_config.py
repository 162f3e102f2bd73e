"""``serving.config`` is edited, not rewritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.serving_config import KEPT, edited, history, write_entry
from scenery.errors import ConfigurationError
from scenery.serving_config import read_entry
from tests.processes import ROOT

SHIPPED = (ROOT / "serving.config").read_text()
ONE_LINE = 'model_config_list { config { name: "scenery" base_path: "/models/scenery" model_platform: "tensorflow" } }'
ODD = """\
# two models { in one file
model_config_list: {
  config: < name: "a" base_path: '/models/a' model_platform: "tensorflow" # config { name: "m" }
            version_labels: { key: "canary" value: 3 } >
  config {
    base_path: "/models/\\"m\\" {"   # a brace in a string
    name: "m", model_platform: "tensorflow";
    version_labels { key: "stable" value: 1 }  # behind
    # between
    version_labels { key: "canary" value: 2 }
    model_version_policy { latest { num_versions: 1 } }
  }
}
"""


@pytest.mark.parametrize("text", [SHIPPED, ONE_LINE, ODD])
def test_policy_and_labels_are_replaced_again_and_again(tmp_path: Path, text: str):
    """Whatever the layout, and as often as one likes; the text does not grow."""
    config = tmp_path / "serving.config"
    config.write_text(text)
    name = "m" if text is ODD else "scenery"
    for versions, labels in (([1, 2], {"stable": 1, "canary": 2}), ([2], {"stable": 2}), ([1, 2], {"stable": 1})) * 2:
        write_entry(config, name, versions, labels)
        entry = read_entry(config, name)
        assert (entry.versions, entry.labels) == (versions, labels)
    assert len(config.read_text().splitlines()) <= len(text.splitlines()) + 3


def test_comments_and_other_models_stay():
    """What people wrote is still there, and the other model has what it had."""
    text = edited(ODD, "m", [1], {"stable": 1})
    for kept in ("# two models { in one file", "# a brace in a string", "# behind", "# between", "'/models/a'"):
        assert kept in text
    assert 'key: "canary" value: 3' in text
    assert 'key: "canary" value: 2' not in text


def test_the_file_as_it_was_is_kept(tmp_path: Path):
    """Earlier texts lie beside it, the same text only once, and the oldest go."""
    config = tmp_path / "serving.config"
    config.write_text(SHIPPED)
    write_entry(config, "scenery", [1], {"stable": 1})
    write_entry(config, "scenery", [1], {"stable": 1})
    write_entry(config, "scenery", [2], {"stable": 2})
    first, second = history(config)
    assert first.read_text() == SHIPPED
    assert "versions: 1" in second.read_text()
    for number in range(3, 60):
        write_entry(config, "scenery", [number], {})
    kept = history(config)
    assert len(kept) == KEPT
    assert "versions: 58" in kept[-1].read_text()


@pytest.mark.parametrize(
    ("text", "message"), [("nonsense {", "is no ModelServerConfig"), ("", "has no model"), (None, "cannot be read")]
)
def test_what_cannot_be_edited_is_told(tmp_path: Path, text: str | None, message: str):
    """A file that is missing, empty or no configuration."""
    config = tmp_path / "serving.config"
    if text is not None:
        config.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_entry(config, "scenery")
