"""Pods come, go and are asked whether they are ready: the manifests' own commands and settings, real processes."""

from __future__ import annotations

import base64
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from proxy.readiness import PROBE_PHOTO
from scenery import contract
from scenery.files import replace_text
from tests.deploy.manifests import KUBERNETES, written
from tests.deploy.name_server import name_server
from tests.processes import (
    DEADLINE_SECONDS,
    ROOT,
    ModelServer,
    free_ports,
    http,
    model_server,
    proxy,
    running,
    wait_until,
)
from tests.proxy.test_staying_up import Load, served_requests

PROBE = KUBERNETES / "base/predict.bash"
CLUSTER_DOMAIN = "scenery.svc.cluster.local"
SHIPPED = ROOT / "models/scenery/1"
SHIPPED_MODEL = (
    f"--model_name={contract.MODEL_NAME}",
    f"--model_base_path={SHIPPED.parent}",
    f"--monitoring_config_file={ROOT}/monitoring.config",
)
FOLLOWS = ("--model_config_file_poll_wait_seconds=0.1", "--allow_version_labels_for_unavailable_models=true")


@pytest.fixture
def server():
    """The model server's container."""
    return written("base").container("model-server")


@pytest.fixture
def door():
    """The proxy's container."""
    return written("base").container("proxy")


@contextmanager
def servers(work: Path, *addresses: str, arguments: str) -> Iterator[list[ModelServer]]:
    """Run a model server on each address, with the same ports, as pods have them."""
    grpc_port, rest_port = free_ports(2)
    shared = (
        f"--port={grpc_port}",
        f"--rest_api_port={rest_port}",
        *SHIPPED_MODEL,
        f"--grpc_channel_arguments={arguments}",
    )
    with ExitStack() as stack:
        begun = []
        for address in addresses:
            log = work / f"{address}.log"
            process = stack.enter_context(running("serving.main", f"--host={address}", *shared, log=log))
            begun.append(ModelServer(process, f"{address}:{grpc_port}", f"http://{address}:{rest_port}", log))
        for each in begun:
            wait_until(lambda each=each: each.version_states(contract.MODEL_NAME) == {1: "AVAILABLE"}, "the model")
        yield begun


def test_pods_come_and_go_and_no_request_fails(server, door, tmp_path, photo, monkeypatch):
    """With the manifest's own settings: a pod that comes is found, one that left the service is left, then killed."""
    (arguments,) = [each.partition("=")[2] for each in server["args"] if each.startswith("--grpc_channel_arguments=")]
    sooner = re.sub(r"(max_connection_age_ms)=\d+", r"\1=1000", arguments)
    (address,) = [each["value"] for each in door["env"] if each["name"] == "SCENERY_MODEL_SERVER"]
    service = address.removeprefix("dns:///").split(":")[0]
    monkeypatch.setenv("LOCALDOMAIN", CLUSTER_DOMAIN)  # as a pod's /etc/resolv.conf has it
    with ExitStack() as stack:
        old, new = stack.enter_context(servers(tmp_path, "127.0.0.1", "127.0.0.2", arguments=sooner))
        names = stack.enter_context(name_server("127.0.0.1"))
        port = old.grpc.split(":")[1]
        front = stack.enter_context(proxy(tmp_path, f"dns://127.0.0.1:{names.port}/{service}:{port}"))
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert http("GET", front.url + door[probe]["httpGet"]["path"])[0] == 200
        load = Load(front.url, photo, 3)
        wait_until(lambda: served_requests(old) > 20, "answers of the first pod")
        names.addresses = ["127.0.0.1", "127.0.0.2"]
        wait_until(lambda: served_requests(new) > 20, "answers of the pod that came", 30)
        names.addresses = ["127.0.0.2"]
        wait_until(lambda: _rests(old), "the pod that left the service to be left", 30)
        old.process.kill()
        old.process.wait()
        seen = load.answers[200]
        wait_until(lambda: load.answers[200] > seen + 50, "answers of the other")
        assert set(load.stop()) == {200}
        assert f"{service}.{CLUSTER_DOMAIN}" in names.asked


def _rests(server: ModelServer) -> bool:
    """Tell whether a server gets no request for half a second."""
    before = served_requests(server)
    time.sleep(0.5)
    return served_requests(server) == before


class Probe:
    """The readiness probe's command, at another port and with the script from its place here."""

    def __init__(self, probe: dict, port: str) -> None:
        here = {"/probes/predict.bash": str(PROBE), str(contract.REST_PORT): port}
        self._command = [here.get(word, word) for word in probe["exec"]["command"]]

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._command, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS)

    def is_ready(self) -> bool:
        return self.run().returncode == 0

    def complaint(self) -> str:
        """Require that the probe fails; returns what it says."""
        done = self.run()
        assert done.returncode == 1
        return done.stdout + done.stderr


def test_readiness_is_a_real_prediction(server, tmp_path):
    """The probe fails without a server or version and where the stable one cannot predict, but not for a bad canary."""
    versions, config = tmp_path / contract.MODEL_NAME, tmp_path / "serving.config"
    versions.mkdir()
    _serve_all(config, versions)
    with model_server(tmp_path, f"--model_config_file={config}", *FOLLOWS) as running_server:
        probe = Probe(server["readinessProbe"], running_server.rest.rsplit(":", 1)[1])
        assert "not found" in probe.complaint()
        _place(versions / "1", without_signature=True)
        wait_until(lambda: running_server.version_states(contract.MODEL_NAME) == {1: "AVAILABLE"}, "version 1")
        assert "serving_default" in probe.complaint()
        _place(versions / "2")
        wait_until(probe.is_ready, "the latest version to be asked")
        _serve_all(config, versions, stable=1)
        wait_until(lambda: not probe.is_ready(), "the stable version to be asked")
        _place(versions / "3", without_signature=True)
        wait_until(lambda: running_server.version_states(contract.MODEL_NAME).get(3) == "AVAILABLE", "version 3")
        _serve_all(config, versions, stable=2)
        wait_until(probe.is_ready, "the stable version to be asked, and not the canary")
    assert "refused" in probe.complaint()


def test_the_probes_photo_is_the_proxys():
    """Both ask about the same pixel, in the same format."""
    (pixel,) = re.findall(r"^pixel=(.+)$", PROBE.read_text(), re.MULTILINE)
    assert base64.b64decode(pixel) == PROBE_PHOTO


def _place(folder: Path, without_signature: bool = False) -> None:
    """Drop the shipped version in; or one that loads, and fails whoever asks it."""
    staged = folder.with_name(f".{folder.name}")
    staged.mkdir()
    graph = (SHIPPED / "saved_model.pb").read_bytes()
    renamed = contract.SIGNATURE_CLASSIFY[::-1].encode()  # as long as the name
    name = contract.SIGNATURE_CLASSIFY.encode()
    (staged / "saved_model.pb").write_bytes(graph.replace(name, renamed) if without_signature else graph)
    staged.rename(folder)


def _serve_all(config: Path, versions: Path, **labels: int) -> None:
    """Write a config that serves every version, with labels."""
    given = " ".join(f'version_labels {{ key: "{label}" value: {version} }}' for label, version in labels.items())
    replace_text(
        config,
        f'model_config_list {{ config {{ name: "{contract.MODEL_NAME}" base_path: "{versions}" '
        f'model_platform: "tensorflow" model_version_policy {{ all {{}} }} {given} }} }}',
    )
