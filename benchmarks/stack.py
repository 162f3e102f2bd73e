"""``scenery serve`` on files of its own, for a benchmark."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import server
from benchmarks.processes import free_ports
from benchmarks.program import Program, python, running_program
from scenery import contract

CONFIGS = ("serving.config", "monitoring.config")


@dataclass(frozen=True)
class Stack:
    """A model server and the proxy, as ``scenery serve`` starts them."""

    program: Program
    work: Path
    proxy: str
    grpc: str
    rest: str

    def run(self, *arguments: str) -> float:
        """Run a command of ``scenery`` on it; returns the seconds it took."""
        places = ["--config", str(self.work / "serving.config"), "--models-dir", str(self.work / "models")]
        if arguments[0] != "publish":
            places += ["--model-server", self.grpc]
        begun = time.monotonic()
        subprocess.run([sys.executable, "-m", "scenery", *arguments, *places], check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - begun

    def drop(self, version: int) -> None:
        """Drop the shipped model in as another version, and return when the one before is unloaded."""
        server.drop(version, self.work / "models" / contract.MODEL_NAME, self.rest)


@contextmanager
def running_stack(kind: str = "embedded") -> Iterator[Stack]:
    """Run ``scenery serve`` with the shipped model as version 1, and this model server.

    Raises
    ------
    StackError
        If it is not ready in time or ends by itself; with what it last wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for config in CONFIGS:
            shutil.copy(config, work)
        shutil.copytree(server.SHIPPED, work / "models" / contract.MODEL_NAME / "1")
        port, grpc_port, rest_port = free_ports(3)
        flags = ["serve", "--server", kind, "--config", work / "serving.config", "--models-dir", work / "models"]
        flags += ["--run-dir", work / "run", "--port", port, "--grpc-port", grpc_port, "--rest-port", rest_port]
        with running_program("scenery serve", python("scenery", *flags), work) as program:
            program.await_answer(f"http://127.0.0.1:{port}/readyz")
            yield Stack(program, work, *(f"127.0.0.1:{each}" for each in (port, grpc_port, rest_port)))
