"""docker-compose.yml, serving.config, the images and the contract agree."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from scenery import contract
from scenery.stack.local_config import localize
from scenery.stack.supervisor import StackOptions, server_command
from serving.flags import FLAGS
from tests.deploy.manifests import memory_for_callers, written
from tests.processes import ROOT

MODEL_SERVERS = ("model-server", "embedded-model-server")
FLAG_NAMES = {flag.name for flag in FLAGS}


def _read(name):
    return yaml.safe_load((ROOT / name).read_text())


def _defaults(text):
    """Return a value as it is without an environment: ${NAME:-default}."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.fixture(scope="module")
def services():
    return _read("docker-compose.yml")["services"]


def test_every_file_it_mounts_or_builds_from_exists(services):
    """What the file names is in the repository, and mounted to be read only but by who rolls out."""
    volumes = set(_read("docker-compose.yml")["volumes"])
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source, _, mode = _defaults(volume).partition(":")
            assert source in volumes or (ROOT / source).exists()
            assert source in volumes or mode.endswith(":ro") == (name != "rollout")
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_ports_and_paths_are_the_contracts(services):
    """The proxy finds the model server, and that finds its models."""
    proxy = services["proxy"]
    assert proxy["environment"]["SCENERY_MODEL_SERVER"] == f"dns:///model-server:{contract.GRPC_PORT}"
    assert [_defaults(port) for port in proxy["ports"]] == [f"127.0.0.1:{contract.PROXY_PORT}:{contract.PROXY_PORT}"]
    for name in MODEL_SERVERS:
        mounted = [_defaults(volume) for volume in services[name]["volumes"]]
        assert mounted == [f"./models:{contract.CONFIG_ROOT}:ro", ".:/etc/scenery:ro"]
        assert f"/dev/tcp/127.0.0.1/{contract.REST_PORT}" in services[name]["healthcheck"]["test"][-1]
        assert f"/v1/models/{contract.MODEL_NAME}" in services[name]["healthcheck"]["test"][-1]
    text = localize(ROOT / "serving.config", ROOT / "models")
    assert f'name: "{contract.MODEL_NAME}"' in text
    assert f'base_path: "{ROOT}/models/{contract.MODEL_NAME}"' in text


def test_either_model_server_is_the_one_the_proxy_finds(services):
    """One of the two runs, by profile; both have the proxy's name for it, and the same flags."""
    assert [services[name]["profiles"] for name in MODEL_SERVERS] == [["tensorflow-serving"], ["embedded"]]
    for name in MODEL_SERVERS:
        assert services[name]["networks"]["inside"]["aliases"] == ["model-server"]
    assert services[MODEL_SERVERS[0]]["command"] == services[MODEL_SERVERS[1]]["command"]
    assert "COMPOSE_PROFILES=tensorflow-serving\n" in (ROOT / ".env").read_text()


def test_the_model_servers_flags_exist(services):
    """Every flag is one of tensorflow_model_server's."""
    flags = services["model-server"]["entrypoint"][1:] + services["model-server"]["command"]
    assert {flag.removeprefix("--").partition("=")[0] for flag in flags} <= FLAG_NAMES


def test_both_follow_a_rollout(services):
    """The files that rollouts replace are seen by way of their folder, and the model server reads its own again."""
    traffic_file = f"{contract.CONFIG_ROOT}/{contract.MODEL_NAME}/{contract.TRAFFIC_FILE}"
    assert services["proxy"]["environment"]["SCENERY_TRAFFIC_FILE"] == traffic_file
    flags = services["model-server"]["command"]
    assert "--model_config_file_poll_wait_seconds=1" in flags
    assert "--allow_version_labels_for_unavailable_models=true" in flags


def test_the_model_server_is_not_published(services):
    """Only the proxy is reached from outside, unless the file that publishes the model server is named too."""
    inside = _read("docker-compose.yml")["networks"]["inside"]
    assert inside == {"internal": True}
    for name in MODEL_SERVERS:
        assert "ports" not in services[name]
        assert list(services[name]["networks"]) == ["inside"]
    asked = _read("deploy/compose/model-server-ports.yml")["services"]
    wanted = [f"127.0.0.1:{port}:{port}" for port in (contract.GRPC_PORT, contract.REST_PORT)]
    assert {name: service["ports"] for name, service in asked.items()} == dict.fromkeys(MODEL_SERVERS, wanted)


def test_every_service_is_confined(services):
    """Nothing runs with a writable system, with capabilities, without a limit of memory, or as an image's latest."""
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["init"]
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), service["image"]


def test_the_proxy_has_room_for_what_its_callers_may_send(services):
    """The limit of memory holds as many bodies as there are threads, half as much again, and the proxy itself."""
    assert memory_for_callers() <= int(services["proxy"]["mem_limit"].removesuffix("g")) * 2**30


def test_nobody_signs_in_to_grafana(services):
    """Whoever reaches Grafana may look; it and Prometheus are reached from this machine unless it is said of them."""
    environment = services["grafana"]["environment"]
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    for name in ("grafana", "prometheus"):
        assert all(port.startswith("${MONITORING_HOST:-127.0.0.1}:") for port in services[name]["ports"])


def test_model_servers_run_alike_everywhere(services):
    """What `scenery serve` tells a model server of its behaviour, Compose and Kubernetes tell it too."""
    options = StackOptions("embedded", "", 1, 2, 3, Path("serving.config"), Path("models"), Path("runs"))
    given = {flag for flag in server_command(options, Path("x")) if flag.startswith("--")}
    shared = {
        flag for flag in given if not flag.startswith(("--port", "--rest_api_port", "--model_config_file=", "--mon"))
    }
    (pod,) = written("base").pods()["model-server"]["spec"]["containers"]
    assert shared <= set(services["model-server"]["command"])
    assert shared <= set(pod["args"])


def test_a_profile_that_names_no_model_server_is_refused():
    """`make up` does not wait two minutes for a model server that nobody asked for."""
    command = ["make", "up", "COMPOSE_PROFILES=monitoring", "COMPOSE=true"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "names one model server: tensorflow-serving, or embedded. Received: 'monitoring'" in done.stdout


def test_a_check_without_an_engine_says_so():
    """Without a Docker engine the deployment is not said to work."""
    environment = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    done = subprocess.run([ROOT / "deploy/check"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 77
    assert "Skipped: no Docker engine answers" in done.stdout
