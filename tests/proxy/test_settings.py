"""Settings from the environment."""

from __future__ import annotations

import pytest

from proxy.settings import Settings, load_settings
from scenery.errors import ConfigurationError
from tests.processes import ROOT


def test_the_environment_is_read_and_given_values_win(monkeypatch):
    """A variable sets its field, a flag overrides it."""
    monkeypatch.setenv("SCENERY_LISTEN_PORT", "9001")
    monkeypatch.setenv("SCENERY_MAX_BODY_BYTES", "1000")
    assert load_settings().listen_port == 9001
    assert load_settings(listen_port=9002).listen_port == 9002
    assert load_settings().max_body_bytes == 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LISTEN_PORT", "high"),
        ("LISTEN_PORT", "70000"),
        ("WORKERS", "0"),
        ("TIMEOUT_SECONDS", "-1"),
        ("TIMEOUT_SECONDS", "inf"),
    ],
)
def test_a_wrong_value_names_its_variable(monkeypatch, name, value):
    """The start ends with the variable and what it held."""
    monkeypatch.setenv(f"SCENERY_{name}", value)
    with pytest.raises(ConfigurationError, match=f"SCENERY_{name}: .*{value}"):
        load_settings()


def test_every_setting_is_in_the_readme():
    """The README's table has each variable, its default and what it is for."""
    readme = (ROOT / "README.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"| `SCENERY_{name.upper()}` | `{field.default}` | {field.description} |" in readme
