"""Start the model server, then the proxy; watch both; stop them in the other order."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scenery.errors import StackError
from scenery.stack.local_config import localize, model_names
from scenery.stack.process import Process

ServerKind = Literal["embedded", "tensorflow"]

START_SECONDS = 120.0
"""How long a program may take until it answers."""
STOP_SECONDS = 30.0
WATCH_SECONDS = 0.2
GRPC_THREADS = 64
"""The real server's default, 4 a core, refuses callers that it could serve."""
LOAD_RETRY_MICROS = 2_000_000
"""Soon enough that a version which cannot be loaded is told within the start."""


@dataclass(frozen=True)
class StackOptions:
    """What to start, and where it listens."""

    server: ServerKind
    host: str
    port: int
    grpc_port: int
    rest_port: int
    config_file: Path
    models_dir: Path
    run_dir: Path
    """Where logs go, and the localized configuration."""

    @property
    def address(self) -> str:
        """URL of the proxy."""
        return f"http://{self.host}:{self.port}"


@contextmanager
def running_stack(options: StackOptions, stop: threading.Event) -> Iterator[list[Process]]:
    """Run the model server and the proxy, both ready on entry, both stopped on leaving.

    Raises
    ------
    ConfigurationError
        If ``serving.config`` cannot be used.
    StackError
        If a port is taken, or a program cannot be started or is not ready in time; with what it
        last wrote.
    """
    _require_ports(options)
    options.run_dir.mkdir(parents=True, exist_ok=True)
    config_text = localize(options.config_file, options.models_dir)
    local_config = options.run_dir / "serving.config"
    local_config.write_text(config_text)
    processes: list[Process] = []
    try:
        server = Process("model server", _server_command(options, local_config), options.run_dir / "model-server.log")
        processes.append(server)
        for name in model_names(config_text):
            url = f"http://127.0.0.1:{options.rest_port}/v1/models/{name}"
            _wait(lambda url=url: _model_available(url), server, stop, f"model {name} is not AVAILABLE")  # type: ignore[misc]
        proxy = Process("proxy", _proxy_command(options), options.run_dir / "proxy.log")
        processes.append(proxy)
        _wait(lambda: _fetch(f"{options.address}/readyz")[0] == 200, proxy, stop, "the proxy is not ready")
        yield processes
    finally:
        for process in reversed(processes):
            process.stop(STOP_SECONDS)


def classify(options: StackOptions, photo: Path) -> dict[str, Any]:
    """Send a photo to the running proxy; returns its answer."""
    request = urllib.request.Request(
        f"{options.address}/v1/classify", photo.read_bytes(), {"Content-Type": "image/jpeg"}
    )
    with urllib.request.urlopen(request, timeout=START_SECONDS) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def _server_command(options: StackOptions, config_file: Path) -> list[str]:
    flags = [
        f"--port={options.grpc_port}",
        f"--rest_api_port={options.rest_port}",
        f"--model_config_file={config_file}",
        f"--grpc_max_threads={GRPC_THREADS}",
        f"--load_retry_interval_micros={LOAD_RETRY_MICROS}",
        "--tensorflow_intra_op_parallelism=1",
    ]
    if options.server == "embedded":
        return [sys.executable, "-m", "serving.main", *flags]
    binary = shutil.which("tensorflow_model_server")
    if binary is None:
        raise StackError(
            "There is no tensorflow_model_server on PATH. Install TensorFlow Serving, or use --server embedded."
        )
    return [binary, *flags]


def _proxy_command(options: StackOptions) -> list[str]:
    flags = ["--host", options.host, "--port", str(options.port), "--model-server", f"127.0.0.1:{options.grpc_port}"]
    return [sys.executable, "-m", "scenery", "proxy", *flags]


def _require_ports(options: StackOptions) -> None:
    for port, flag in (
        (options.port, "--port"),
        (options.grpc_port, "--grpc-port"),
        (options.rest_port, "--rest-port"),
    ):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options.host, port))
            except OSError as error:
                raise StackError(
                    f"Port {port} on {options.host} cannot be used ({error.strerror}). "
                    f"Stop what uses it, or choose another with {flag}."
                ) from error


def _wait(ready: Callable[[], bool], process: Process, stop: threading.Event, complaint: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not stop.is_set() and not ready():
        process.check()
        if time.monotonic() > deadline:
            raise StackError(f"After {START_SECONDS:g} s {complaint}. The logs say why.")
        stop.wait(WATCH_SECONDS)


def _model_available(url: str) -> bool:
    """Tell whether a version answers.

    Raises
    ------
    StackError
        If the model server is up and no version of the model can be loaded.
    """
    status, answer = _fetch(url)
    versions = answer.get("model_version_status", [])
    if any(version["state"] == "AVAILABLE" for version in versions):
        return True
    if status == 404:
        raise StackError(f"The model server finds no version: {answer.get('error')}. Run: scenery export RUN")
    failed = [version for version in versions if version["state"] == "END"]
    if versions and len(failed) == len(versions):
        raise StackError(f"Version {failed[0]['version']} cannot be loaded: {failed[0]['status']['error_message']}")
    return False


def _fetch(url: str) -> tuple[int, dict[str, Any]]:
    """Get a JSON answer and its status; status 0 if nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=START_SECONDS) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except (OSError, ValueError):
        return 0, {}
