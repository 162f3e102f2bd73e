"""What a photo costs the proxy, in counts that are the same on every machine."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import grpc
import pytest
from flask.testing import FlaskClient

import proxy
import scenery
from proxy.app import create_app
from proxy.settings import Settings
from scenery import wire

PHOTOS = 20
OWN_FOLDERS = tuple(str(Path(package.__path__[0])) for package in (proxy, scenery))
MOST_CALLS = 105
"""Of functions of this repository, for one photo; Pythons before 3.12 count comprehensions too."""
MOST_PACKAGES = 45
"""Outside of the standard library, counted by their first names."""


class Counting(grpc.GenericRpcHandler):
    """A model server, over real gRPC, of two labels; counts its calls by method and signature."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()

    def service(self, details):
        def answer(request, _context):
            signature = request.model_spec.signature_name
            self.calls[details.method.rpartition("/")[2], signature] += 1
            response = wire.PredictResponse(model_spec={"version": {"value": 1}})
            if signature == "describe":
                response.outputs["labels"].string_val.extend((b"a", b"b"))
                response.outputs["thresholds"].float_val.extend((0.5, 0.5))
            else:
                response.outputs["scores"].float_val.extend((0.25, 0.75))
            return response.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer, wire.PredictRequest.FromString)


@pytest.fixture
def counting(monkeypatch):
    """A model server that counts, and a client of an application that asks it and forgets no description."""
    monkeypatch.setattr("proxy.model_server.REMEMBERED_SECONDS", 3600.0)
    handler = Counting()
    server = grpc.server(ThreadPoolExecutor(2), (handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, create_app(Settings(model_server=f"127.0.0.1:{port}")).test_client()
    server.stop(None)


def classify(client: FlaskClient, photo: bytes) -> None:
    assert client.post("/v1/classify", data=photo, content_type="image/jpeg").status_code == 200


def test_a_photo_is_one_call_of_the_model_server(counting, photo):
    """Only the first photo that a version answers has its description asked for as well."""
    handler, client = counting
    for _ in range(PHOTOS):
        classify(client, photo)
    assert handler.calls == {("Predict", "serving_default"): PHOTOS, ("Predict", "describe"): 1}


def test_a_photo_takes_few_calls_of_own_functions(counting, photo):
    """From the request to its answer and its figures, whatever the libraries do between."""
    _, client = counting
    classify(client, photo)
    called: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OWN_FOLDERS):
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        classify(client, photo)
    finally:
        sys.setprofile(None)
    assert len(called) <= MOST_CALLS, called


def test_the_proxy_imports_few_packages():
    """Each costs every worker memory, and its start time."""
    code = "import sys, proxy.app, proxy.server; print(*{name.partition('.')[0] for name in sys.modules})"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    packages = set(names) - set(sys.stdlib_module_names)
    assert {"proxy", "scenery", "flask", "grpc", "gunicorn"} <= packages
    assert len(packages) <= MOST_PACKAGES, sorted(packages)
