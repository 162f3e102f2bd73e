"""Clients of a model server or a proxy in a process of their own: ``python -m benchmarks.load --help``.

Prints one JSON object: the latency of every call in ms, how many calls failed, and the seconds
that all of it took.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np

from scenery import contract, wire
from scenery.wire.tensors import to_proto

Send = Callable[[], object]

PAUSE_SECONDS = 0.1
"""After a failed call."""


def main() -> None:
    """Call, from several threads, for some seconds or until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wire", choices=("grpc", "rest", "proxy"))
    parser.add_argument("address", help="host:port")
    parser.add_argument("--photo", type=Path, default=Path("examples/sample.jpg"))
    parser.add_argument("--clients", type=int, default=1, help="Threads, each with a connection of its own.")
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    make = {"grpc": over_grpc, "rest": over_rest, "proxy": over_proxy}[arguments.wire]
    photo = arguments.photo.read_bytes()
    milliseconds: list[float] = []
    failures: list[str] = []
    started = time.perf_counter()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def client() -> None:
        send = make(arguments.address, photo)
        while not stop.is_set() and time.perf_counter() - started < arguments.seconds:
            begun = time.perf_counter()
            try:
                send()
            except (grpc.RpcError, OSError, AssertionError) as error:
                failures.append(str(error))
                time.sleep(PAUSE_SECONDS)
            else:
                milliseconds.append((time.perf_counter() - begun) * 1e3)

    threads = [threading.Thread(target=client) for _ in range(arguments.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {"milliseconds": milliseconds, "failures": failures[:10], "failed": len(failures), "seconds": seconds}
        )
    )


def over_grpc(address: str, photo: bytes) -> Send:
    """Return a call of ``Predict`` on a channel of its own."""
    request = wire.PredictRequest()
    request.model_spec.name = contract.MODEL_NAME
    request.inputs[contract.INPUT_IMAGE_BYTES].CopyFrom(to_proto(np.array([photo], object)))
    channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
    predict = channel.unary_unary(
        f"/{wire.PREDICTION_SERVICE}/Predict",
        response_deserializer=wire.PredictResponse.FromString,
    )
    # Serialized once: the clients share the cores with the server that is measured.
    content = request.SerializeToString()
    return lambda: predict(content, timeout=60)


def over_rest(address: str, photo: bytes) -> Send:
    """Return a ``:predict`` with the photo as base64, on a connection of its own."""
    body = json.dumps({"instances": [{"b64": b64encode(photo).decode()}]}).encode()
    return post(address, f"/v1/models/{contract.MODEL_NAME}:predict", body, "application/json")


def over_proxy(address: str, photo: bytes) -> Send:
    """Return a request with the photo as its body, on a connection of its own."""
    return post(address, "/v1/classify", photo, "image/jpeg")


def post(address: str, path: str, body: bytes, content_type: str) -> Send:
    """Return a POST that must be answered with 200."""
    connection = http.client.HTTPConnection(address, timeout=60)

    def send() -> bytes:
        connection.request("POST", path, body, {"Content-Type": content_type})
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 200, answer
        return answer

    return send


if __name__ == "__main__":
    main()
