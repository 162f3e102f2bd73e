"""What tests of rollouts share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.processes import ROOT, free_ports, running, wait_until
from tests.rollout.stack import Stack

SERVERS = [
    "embedded",
    pytest.param(
        "tensorflow",
        marks=[
            pytest.mark.tfserving,
            pytest.mark.skipif(
                not shutil.which("tensorflow_model_server"), reason="no tensorflow_model_server on PATH"
            ),
        ],
    ),
]


@pytest.fixture
def version(exported: Path) -> Path:
    """What the stack serves as version 1; a test that needs another model names it as its parameter."""
    return exported / "1"


@pytest.fixture(params=SERVERS)
def stack(request, version, tmp_path):
    """The whole stack, with the embedded model server, and with the real one where there is one."""
    proxy_port, grpc_port, rest_port = free_ports(3)
    shutil.copy(ROOT / "serving.config", tmp_path)
    models = tmp_path / "models"
    shutil.copytree(version, models / "scenery" / "1")
    flags = [
        "--server",
        request.param,
        "--port",
        str(proxy_port),
        "--grpc-port",
        str(grpc_port),
        "--rest-port",
        str(rest_port),
    ]
    flags += ["--config", str(tmp_path / "serving.config"), "--models-dir", str(models)]
    log = tmp_path / "stack.log"
    with running("scenery", "serve", *flags, "--run-dir", str(tmp_path / "run"), log=log) as process:
        wait_until(lambda: "is ready" in log.read_text() or process.poll() is not None, "the stack to be ready")
        assert process.poll() is None, log.read_text()
        yield Stack(f"http://127.0.0.1:{proxy_port}", tmp_path, f"127.0.0.1:{grpc_port}", models, version)
