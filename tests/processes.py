"""Real programs, started and stopped for a test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import free_ports as free_ports  # for the tests, too

ROOT = Path(__file__).parent.parent
PHOTOS = ROOT / "examples" / "photos" / "images"
DEADLINE_SECONDS = 90.0
# Never by way of a web proxy that the environment may name: everything runs on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Poll ``condition``; fail with ``what`` when it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.05)


def http(
    method: str,
    url: str,
    body: bytes | None = None,
    content_type: str | None = None,
    more_headers: dict[str, str] | None = None,
) -> tuple[int, Any, Any]:
    """Send a request; returns status, parsed JSON and headers, for errors too. Status 0: nothing answers."""
    headers = ({"Content-Type": content_type} if content_type else {}) | (more_headers or {})
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with _OPENER.open(request, timeout=DEADLINE_SECONDS) as response:
            return response.status, json.load(response), response.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null"), error.headers
    except urllib.error.URLError:
        return 0, None, {}


def multipart(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    """Encode files as a form; returns the body and its content type."""
    boundary = "a-boundary-of-this-test"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


@contextmanager
def running(*command: str, log: Path, cwd: Path = ROOT) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, its output in ``log``; ended by SIGTERM on leaving."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@dataclass(frozen=True)
class ModelServer:
    """A model server that is running."""

    process: subprocess.Popen[bytes]
    grpc: str
    rest: str
    log: Path

    def version_states(self, name: str) -> dict[int, str]:
        """Return the state of each version of a model."""
        _, answer, _ = http("GET", f"{self.rest}/v1/models/{name}")
        return {int(each["version"]): each["state"] for each in (answer or {}).get("model_version_status", [])}


@contextmanager
def model_server(work: Path, *flags: str) -> Iterator[ModelServer]:
    """Run the embedded model server and wait until its ports are open."""
    grpc_port, rest_port = free_ports(2)
    log = work / f"model-server-{grpc_port}.log"
    ports = (f"--port={grpc_port}", f"--rest_api_port={rest_port}")
    with running("serving.main", *ports, "--file_system_poll_wait_seconds=0.2", *flags, log=log) as process:
        server = ModelServer(process, f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{rest_port}", log)
        wait_until(
            lambda: process.poll() is not None or http("GET", f"{server.rest}/v1/models")[0] == 400, "the REST port"
        )
        assert process.poll() is None, log.read_text()
        yield server


@dataclass(frozen=True)
class Proxy:
    """A proxy that is running."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def classify(self, body: bytes, content_type: str | None = "image/jpeg") -> tuple[int, Any, Any]:
        """POST to ``/v1/classify``."""
        return http("POST", f"{self.url}/v1/classify", body, content_type)


@contextmanager
def proxy(work: Path, model_server_address: str) -> Iterator[Proxy]:
    """Run the proxy and wait until it is alive."""
    (port,) = free_ports(1)
    log = work / f"proxy-{port}.log"
    with running("scenery", "proxy", "--port", str(port), "--model-server", model_server_address, log=log) as process:
        running_proxy = Proxy(process, f"http://127.0.0.1:{port}", log)
        wait_until(lambda: http("GET", f"{running_proxy.url}/healthz")[0] == 200, "the proxy's /healthz")
        yield running_proxy
