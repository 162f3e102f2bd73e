"""deploy/appengine/app.yaml says what App Engine knows, and what the image does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from proxy.app import create_app
from proxy.settings import PREFIX, Settings
from scenery import contract
from tests.processes import ROOT

FILE = ROOT / "deploy/appengine/app.yaml"
IMAGE = ROOT / "deploy/docker/all-in-one.Dockerfile"
CHECK = {"path", "timeout_sec", "check_interval_sec", "failure_threshold", "success_threshold"}
FIELDS: dict[str, set[str] | None] = {
    "runtime": None,
    "env": None,
    "env_variables": None,
    "resources": {"cpu", "memory_gb", "disk_size_gb"},
    "automatic_scaling": {"min_num_instances", "max_num_instances", "cool_down_period_sec", "cpu_utilization"},
    "readiness_check": CHECK | {"app_start_timeout_sec"},
    "liveness_check": CHECK | {"initial_delay_sec"},
}
"""Those that are used here. Source: https://cloud.google.com/appengine/docs/flexible/reference/app-yaml."""
READER = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/third_party"]
from googlecloudsdk.appengine.api import appinfo
print(appinfo.LoadSingleAppInfo(open(sys.argv[2])).readiness_check.path)
"""
"""gcloud's own reader of the file, which refuses what it does not know."""


@pytest.fixture(scope="module")
def app_yaml():
    return yaml.safe_load(FILE.read_text())


def test_every_field_is_documented(app_yaml):
    """The file has no field that App Engine would ignore or refuse."""
    assert set(app_yaml) <= set(FIELDS)
    for name, known in FIELDS.items():
        assert known is None or set(app_yaml[name]) <= known
    assert (app_yaml["runtime"], app_yaml["env"]) == ("custom", "flex")


def test_the_machine_is_one_that_there_is(app_yaml):
    """Cores are one or an even number; each has 1 to 6.5 GB, of which the environment takes 0.4 GB in all."""
    cores, memory_gb = app_yaml["resources"]["cpu"], app_yaml["resources"]["memory_gb"]
    assert cores == 1 or cores % 2 == 0
    assert cores * 1.0 - 0.4 <= memory_gb <= cores * 6.5 - 0.4
    assert app_yaml["resources"]["disk_size_gb"] >= 10


def test_the_checks_ask_what_the_proxy_answers(app_yaml):
    """Readiness is a scored photo, liveness the process; the variables are settings."""
    routes = {str(rule) for rule in create_app(Settings()).url_map.iter_rules()}
    assert {app_yaml["readiness_check"]["path"], app_yaml["liveness_check"]["path"]} <= routes
    assert app_yaml["readiness_check"]["path"] == "/readyz"
    assert set(app_yaml["env_variables"]) <= {PREFIX + name.upper() for name in Settings.model_fields}


def test_the_image_listens_where_app_engine_asks():
    """App Engine sends requests to port 8080 of the container, from outside of it."""
    assert contract.PROXY_PORT == 8080
    lines = IMAGE.read_text()
    assert "EXPOSE 8080" in lines
    assert '"--host=0.0.0.0"' in lines
    assert '"--port' not in lines


def test_gcloud_reads_it():
    """The command that deploys the file takes it."""
    library = Path(shutil.which("gcloud") or "").resolve().parent.parent / "lib"
    if not (library / "googlecloudsdk/appengine").is_dir():
        pytest.skip("gcloud's own reader of app.yaml: there is no Google Cloud SDK on PATH")
    done = subprocess.run(
        [sys.executable, "-c", READER, str(library), str(FILE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "/readyz\n"
