"""The API's description, held against the running proxy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.app import create_app
from proxy.settings import Settings
from tests.processes import http
from tests.proxy.browser import MISSING, PROGRAM, chromium, visit

UNDESCRIBED = ("/", "/docs", "/openapi.json", "/page")


def test_schemathesis_finds_nothing(proxied, tmp_path):
    """Hundreds of requests, right and wrong ones, are answered as the document says."""
    config = Path(__file__).parent / "schemathesis.toml"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    options = ["--phases", "examples,coverage,fuzzing", "--max-examples", "60", "--generation-database", "none"]
    done = subprocess.run(
        [*command, f"{proxied.url}/openapi.json", *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 selected / 6 total" in done.stdout


def test_every_route_is_described(proxied):
    """A route for programs is in the document, with each of its methods; and nothing else is."""
    app = create_app(Settings())
    routes = {
        (rule.rule, method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule not in UNDESCRIBED and not rule.rule.startswith(("/docs/", "/page/"))
    }
    status, document, _ = http("GET", f"{proxied.url}/openapi.json")
    assert status == 200
    assert document["openapi"].startswith("3.1")
    assert routes == {(path, method) for path, methods in document["paths"].items() for method in methods}


def test_keys_are_in_the_document_if_they_are_needed(tmp_path):
    """Swagger UI asks for a key where photos are only answered with one."""
    keys = tmp_path / "keys"
    keys.write_text("")
    with create_app(Settings(api_keys_file=keys)).test_client() as client:
        document = client.get("/openapi.json").json
    assert document["paths"]["/v1/classify"]["post"]["security"] == [{"bearer": []}, {"header": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]


def test_the_ways_to_refuse_are_in_the_document():
    """Whoever sends photos reads there by which headers none of them is kept; other requests have no such headers."""
    with create_app(Settings()).test_client() as client:
        paths = client.get("/openapi.json").json["paths"]
    refusing = {"Cache-Control", "Sec-GPC", "DNT"}
    for path in ("/v1/classify", "/scorefile/"):
        assert refusing <= {each["name"] for each in paths[path]["post"]["parameters"]}
    assert not refusing & {each["name"] for each in paths["/v1/model"]["get"]["parameters"]}


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
def test_swagger_ui_shows_the_document_and_asks_nobody_else(proxied):
    """The page at /docs/ lists every request, from files of this server, and its own policy stops nothing."""
    with chromium() as browser, visit(browser, f"{proxied.url}/docs") as visited:
        visited.page.get_by_text("Label photos").wait_for()
        assert visited.page.locator(".opblock").count() == 6
        assert not visited.complaints
        assert all(address.startswith((proxied.url, "data:")) for address in visited.requests)
