"""Start the model server, then the proxy; watch both; stop them in the other order."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from scenery import contract
from scenery.errors import StackError
from scenery.stack.local_config import LocalConfig, model_names
from scenery.stack.process import Process

ServerKind = Literal["embedded", "tensorflow"]

MODEL_SERVER_HOST = "127.0.0.1"
START_SECONDS = 120.0
"""How long a program may take until it answers."""
PROXY_START_SECONDS = 20.0
"""The same for the proxy, whose model server answers already."""
STOP_SECONDS = 30.0
WATCH_SECONDS = 0.2
CONFIG_POLL_SECONDS = 1
"""How often the model server reads its configuration again."""
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
    log_to_console: bool = False
    """Logs go to standard error instead, as containers want them."""
    prefer_tflite_model: bool = False
    """Whether a version's ``model.tflite`` is served where it has one."""

    @property
    def address(self) -> str:
        """URL of the proxy."""
        return f"http://{self.host}:{self.port}"

    def log_file(self, name: str) -> Path | None:
        """Return where a program's log goes; None for standard error."""
        return None if self.log_to_console else self.run_dir / name


@dataclass(frozen=True)
class Stack:
    """Programs that run, and the configuration that they follow."""

    processes: list[Process]
    config: LocalConfig

    def look(self) -> str | None:
        """Follow edits of ``serving.config``; returns what is wrong with one.

        Raises
        ------
        StackError
            If a program has ended.
        """
        for process in self.processes:
            process.check()
        return self.config.follow()


@contextmanager
def running_stack(options: StackOptions, stop: threading.Event) -> Iterator[Stack]:
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
    _make(options.run_dir)
    config = LocalConfig(options.config_file, options.models_dir, options.run_dir / "serving.config")
    processes: list[Process] = []
    try:
        server = Process("model server", server_command(options, config.copy), options.log_file("model-server.log"))
        processes.append(server)
        for name in model_names(config.text):
            url = f"http://{MODEL_SERVER_HOST}:{options.rest_port}/v1/models/{name}"
            _wait(partial(_model_problem, url, options.models_dir), server, stop)
        proxy = Process("proxy", _proxy_command(options), options.log_file("proxy.log"))
        processes.append(proxy)
        _wait(partial(_proxy_problem, f"{options.address}/readyz"), proxy, stop, PROXY_START_SECONDS)
        yield Stack(processes, config)
    finally:
        for process in reversed(processes):
            process.stop(STOP_SECONDS)


def classify(options: StackOptions, photo: Path) -> dict[str, Any]:
    """Send a photo to the running proxy; returns its answer, whatever it is."""
    _, answer = _fetch(f"{options.address}/v1/classify", photo.read_bytes(), {"Content-Type": "image/jpeg"})
    return answer


def server_command(options: StackOptions, config_file: Path) -> list[str]:
    """Return how a model server is started; raises :class:`StackError` if there is none of that kind."""
    flags = [
        f"--port={options.grpc_port}",
        f"--rest_api_port={options.rest_port}",
        f"--model_config_file={config_file}",
        f"--model_config_file_poll_wait_seconds={CONFIG_POLL_SECONDS}",
        "--allow_version_labels_for_unavailable_models=true",
        f"--grpc_max_threads={GRPC_THREADS}",
        f"--load_retry_interval_micros={LOAD_RETRY_MICROS}",
        "--tensorflow_intra_op_parallelism=1",
    ]
    monitoring = options.config_file.with_name("monitoring.config")
    if monitoring.is_file():
        flags.append(f"--monitoring_config_file={monitoring.resolve()}")
    if options.server == "embedded":
        lite = ["--prefer_tflite_model=true"] if options.prefer_tflite_model else []
        return [sys.executable, "-m", "serving.main", *flags, *lite]
    if options.prefer_tflite_model:
        raise StackError(
            "TensorFlow Serving would answer no photo with --prefer-tflite-model: it runs model.tflite alone, which "
            "does not decode. Leave the option out, or use --server embedded."
        )
    binary = shutil.which("tensorflow_model_server")
    if binary is None:
        raise StackError(
            "There is no tensorflow_model_server on PATH. Install TensorFlow Serving, or use --server embedded."
        )
    return [binary, *flags]


def _proxy_command(options: StackOptions) -> list[str]:
    flags = [
        "--host",
        options.host,
        "--port",
        str(options.port),
        "--model-server",
        f"{MODEL_SERVER_HOST}:{options.grpc_port}",
        "--traffic-file",
        str(options.models_dir / contract.MODEL_NAME / contract.TRAFFIC_FILE),
    ]
    return [sys.executable, "-m", "scenery", "proxy", *flags]


def _make(run_dir: Path) -> None:
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"The folder {run_dir} cannot be made ({error.strerror}). Name another with --run-dir; "
            "in a container with a read-only system, give it a /tmp."
        ) from error


def _require_ports(options: StackOptions) -> None:
    wanted = (
        (options.host, options.port, "--port"),
        (MODEL_SERVER_HOST, options.grpc_port, "--grpc-port"),
        (MODEL_SERVER_HOST, options.rest_port, "--rest-port"),
    )
    for host, port, flag in wanted:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except (OSError, OverflowError) as error:
            raise StackError(
                f"Port {port} on {host} cannot be used ({error}). Stop what uses it, or choose another with {flag}."
            ) from error


def _wait(
    problem: Callable[[], str | None], process: Process, stop: threading.Event, seconds: float = START_SECONDS
) -> None:
    """Wait until there is no ``problem`` any more; the last one is told if that takes too long."""
    deadline = time.monotonic() + seconds
    while not stop.is_set() and (last := problem()) is not None:
        process.check()
        if time.monotonic() > deadline:
            raise StackError(f"The {process.name} is not ready after {seconds:g} s: {last}")
        stop.wait(WATCH_SECONDS)


def _model_problem(url: str, models_dir: Path) -> str | None:
    """Tell why no version answers yet, or None if one does.

    Raises
    ------
    StackError
        If the model server is up and finds no version of the model.
    """
    status, answer = _fetch(url)
    versions = answer.get("model_version_status", [])
    states = {version["state"] for version in versions}
    if "AVAILABLE" in states and not states & {"START", "LOADING"}:
        return None  # While others are loading, what answers may not be what the labels say.
    if status == HTTPStatus.NOT_FOUND:
        raise StackError(
            f"The model server finds no version in {models_dir.resolve()}: {answer.get('error')}. "
            "Name the folder with --models-dir, or write a version: scenery export RUN"
        )
    return f"no version is AVAILABLE at {url}"


def _proxy_problem(url: str) -> str | None:
    """Tell why the proxy cannot answer photos yet, or None if it can."""
    status, answer = _fetch(url)
    return None if status == HTTPStatus.OK else str(answer.get("detail", "it does not answer"))


def _fetch(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Get status and JSON answer, errors' too; status 0 if nothing answers, or no JSON."""
    # Never by way of a web proxy: what is asked runs on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, body, dict(headers or {}))
    try:
        try:
            response = opener.open(request, timeout=START_SECONDS)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return response.status, json.load(response)
    except (OSError, ValueError, http.client.HTTPException):
        return 0, {}
