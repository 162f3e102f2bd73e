"""docker-compose.yml, serving.config and the contract agree."""

from __future__ import annotations

import pytest
import yaml

from scenery import contract
from scenery.stack.local_config import localize
from tests.processes import ROOT


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def test_every_file_it_mounts_or_builds_from_exists(services):
    """What the file names is in the repository."""
    for service in services.values():
        for volume in service.get("volumes", []):
            assert (ROOT / volume.split(":")[0]).exists()
            assert volume.endswith(":ro")
    assert (ROOT / services["proxy"]["build"]["dockerfile"]).is_file()


def test_ports_and_paths_are_the_contracts(services):
    """The proxy finds the model server, and that finds its models."""
    assert services["proxy"]["environment"]["SCENERY_MODEL_SERVER"] == f"model-server:{contract.GRPC_PORT}"
    assert services["proxy"]["ports"] == [f"127.0.0.1:{contract.PROXY_PORT}:{contract.PROXY_PORT}"]
    assert f"./models:{contract.CONFIG_ROOT}:ro" in services["model-server"]["volumes"]
    text = localize(ROOT / "serving.config", ROOT / "models")
    assert f'name: "{contract.MODEL_NAME}"' in text
    assert f'base_path: "{ROOT}/models/{contract.MODEL_NAME}"' in text


def test_both_follow_a_rollout(services):
    """The files that rollouts replace are seen by way of their folder, and the model server reads its own again."""
    assert "./:/etc/scenery:ro" in services["model-server"]["volumes"]
    assert services["proxy"]["volumes"] == [f"./models:{contract.CONFIG_ROOT}:ro"]
    traffic_file = f"{contract.CONFIG_ROOT}/{contract.MODEL_NAME}/{contract.TRAFFIC_FILE}"
    assert services["proxy"]["environment"]["SCENERY_TRAFFIC_FILE"] == traffic_file
    flags = services["model-server"]["command"]
    assert "--model_config_file_poll_wait_seconds=1" in flags
    assert "--allow_version_labels_for_unavailable_models=true" in flags


def test_the_model_server_is_not_published(services):
    """Only the proxy is reached from outside."""
    assert "ports" not in services["model-server"]
