"""The embedded model server in a process of its own, with the shipped model, for a benchmark."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import free_ports
from scenery import contract

SHIPPED = Path("models") / contract.MODEL_NAME / "1"
START_SECONDS = 60.0
LOOK_SECONDS = 0.1
FLAGS = ("--grpc_max_threads=64", "--rest_api_num_threads=16", "--tensorflow_intra_op_parallelism=1")


@dataclass(frozen=True)
class Server:
    """A server that runs; versions are dropped into ``base_path``."""

    process: subprocess.Popen[bytes]
    grpc: str
    rest: str
    base_path: Path

    def drop(self, version: int) -> None:
        """Drop the shipped model in as another version, and return when the one before is unloaded."""
        drop(version, self.base_path, self.rest)

    def resident_mib(self) -> float:
        """Return the resident set."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


def drop(version: int, base_path: Path, rest: str) -> None:
    """Drop the shipped model in as another version, and return when the one before is unloaded.

    Parameters
    ----------
    rest
        host:port of the model server's REST API, which is asked for the versions' states.
    """
    staged = shutil.copytree(SHIPPED, base_path / f".incoming-{version}")
    staged.rename(base_path / str(version))
    deadline = time.monotonic() + START_SECONDS
    while (states := _states(rest)).get(version) != "AVAILABLE" or states.get(version - 1) != "END":
        assert time.monotonic() < deadline, states
        time.sleep(LOOK_SECONDS)


def _states(rest: str) -> dict[int, str]:
    with closing(http.client.HTTPConnection(rest, timeout=10)) as connection:
        connection.request("GET", f"/v1/models/{contract.MODEL_NAME}")
        answer = json.loads(connection.getresponse().read())
    return {int(each["version"]): each["state"] for each in answer.get("model_version_status", [])}


@contextmanager
def running_server(*flags: str) -> Iterator[Server]:
    """Run a server of the shipped model as version 1; its log is lost."""
    with tempfile.TemporaryDirectory() as folder:
        base_path = Path(folder) / contract.MODEL_NAME
        shutil.copytree(SHIPPED, base_path / "1")
        grpc_port, rest_port = free_ports(2)
        command = [sys.executable, "-m", "serving.main", f"--port={grpc_port}", f"--rest_api_port={rest_port}"]
        command += [f"--model_name={contract.MODEL_NAME}", f"--model_base_path={base_path}", *FLAGS, *flags]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _await_port(rest_port, process)
            yield Server(process, f"127.0.0.1:{grpc_port}", f"127.0.0.1:{rest_port}", base_path)
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        assert process.poll() is None, f"the server ended with {process.returncode}"
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(LOOK_SECONDS)
