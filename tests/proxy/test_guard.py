"""Keys and rates, in the running proxy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.problems import KINDS
from tests.processes import ROOT, http, proxy, wait_until


def make_key(file: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "scenery", "api-key", *arguments, "--file", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_key_opens_and_is_revoked_while_the_proxy_runs(tmp_path, served, photo, monkeypatch):
    """Without the key nothing is labelled; probes and pages answer everybody; neither log nor answer tells a key."""
    keys = tmp_path / "keys"
    key = make_key(keys, "anna")
    monkeypatch.setenv("SCENERY_API_KEYS_FILE", str(keys))
    with proxy(tmp_path, served.grpc) as guarded:

        def ask(path: str = "/v1/classify", **headers: str):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return http("POST", guarded.url + path, photo, "image/jpeg", named)

        assert ask(Authorization=f"Bearer {key}")[0] == 200
        assert ask(X_API_Key=key)[0] == 200
        for status, answer, headers in (ask(), ask(X_API_Key=f"{key}x"), ask("/scorefile/"), ask("/scorefile")):
            assert (status, answer["type"]) == (401, "urn:scenery:problem:unauthorized")
            assert headers["WWW-Authenticate"] == "Bearer"
        for path in ("/healthz", "/readyz", "/openapi.json"):
            assert http("GET", guarded.url + path)[0] == 200
        make_key(keys, "anna", "--revoke")
        wait_until(lambda: ask(X_API_Key=key)[0] == 401, "the key to be revoked", 5)
    assert key not in guarded.log.read_text()
    assert '"key_holder": "anna"' in guarded.log.read_text()


def test_each_key_has_its_rate(tmp_path, served, photo, monkeypatch):
    """Who comes too often is told when to come again; another key is not kept waiting; pages do not count."""
    keys = tmp_path / "keys"
    anna, bert = make_key(keys, "anna"), make_key(keys, "bert")
    monkeypatch.setenv("SCENERY_API_KEYS_FILE", str(keys))
    monkeypatch.setenv("SCENERY_RATE_LIMIT", "2/hour")
    with proxy(tmp_path, served.grpc) as guarded:

        def ask(key: str):
            return http("POST", f"{guarded.url}/v1/classify", photo, "image/jpeg", {"X-API-Key": key})

        assert [ask(anna)[0] for _ in range(2)] == [200, 200]
        status, answer, headers = ask(anna)
        assert (status, answer["type"]) == (429, "urn:scenery:problem:rate-limited")
        assert 1 <= int(headers["Retry-After"]) <= 3600
        assert "RateLimit" in ask(bert)[2]
        assert ask(bert)[0] == 200
        assert http("GET", f"{guarded.url}/readyz")[0] == 200


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"API_KEYS_FILE": "/none/keys"}, "SCENERY_API_KEYS_FILE"),
        ({"RATE_LIMIT": "often"}, "SCENERY_RATE_LIMIT"),
        ({"RATE_LIMIT": "9/minute", "WORKERS": "2"}, "SCENERY_RATE_LIMIT_STORAGE=redis://"),
        ({"MODEL_SERVER_TLS": "true", "MODEL_SERVER_CA_FILE": "/none/ca"}, "SCENERY_MODEL_SERVER_CA_FILE"),
        ({"TIMEOUT_SECONDS": "long"}, "SCENERY_TIMEOUT_SECONDS"),
        ({"URL_HOSTS": "https://example.org/"}, "SCENERY_URL_HOSTS"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_stops_the_start(monkeypatch, variables, told):
    """One line names the variable; nothing listens."""
    for name, value in variables.items():
        monkeypatch.setenv(f"SCENERY_{name}", value)
    command = [sys.executable, "-m", "scenery", "proxy", "--port", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert told in line


def test_every_problem_that_is_raised_has_its_kind():
    """A name that the source gives to a problem stands in the table that people read."""
    assert {"unauthorized", "rate-limited", "url-not-allowed"} <= KINDS.keys()
    for source in (ROOT / "proxy").glob("*.py"):
        for name in names_of_problems(source.read_text()):
            assert name in KINDS, source


def names_of_problems(text: str) -> list[str]:
    """Return the literal names in calls of ``problem``."""
    return [part.split('"')[1] for part in text.split("problem(")[1:] if part.lstrip().startswith('"')]
