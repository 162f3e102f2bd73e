"""Settings from the environment."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from proxy.command import proxy
from proxy.settings import Settings, load_settings, misspelt
from scenery.errors import ConfigurationError


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


def test_names_with_commas_and_empty_variables(monkeypatch):
    """A list is its names without the blanks; an empty variable is as good as none."""
    monkeypatch.setenv("SCENERY_URL_HOSTS", "example.org, *.example.org,")
    monkeypatch.setenv("SCENERY_WORKERS", "")
    settings = load_settings()
    assert settings.url_hosts == ("example.org", "*.example.org")
    assert settings.workers == 1


def test_settings_that_need_one_another(tmp_path):
    """Half of a certificate, or a certificate without TLS, is told at the start."""
    with pytest.raises(ConfigurationError, match="SCENERY_MODEL_SERVER_KEY_FILE go together"):
        load_settings(model_server_tls=True, model_server_certificate_file=tmp_path)
    with pytest.raises(ConfigurationError, match="needs SCENERY_MODEL_SERVER_TLS=true"):
        load_settings(model_server_ca_file=tmp_path)


def test_a_misspelt_variable_is_noticed(monkeypatch):
    """What is nearly a setting is told; what Kubernetes puts there is not."""
    monkeypatch.setenv("SCENERY_MAX_PHOTO", "3")
    monkeypatch.setenv("SCENERY_PORT", "tcp://10.0.0.1:80")
    assert misspelt() == ["SCENERY_MAX_PHOTO is no setting; did you mean SCENERY_MAX_PHOTOS?"]


def test_every_setting_has_a_flag():
    """The command's flags are the table's fields."""
    shown = " ".join(CliRunner().invoke(proxy, ["--help"]).output.split())
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in shown
