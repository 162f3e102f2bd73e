"""The limit: the network of the served version in a Session, photos decoded already, and no server around it.

``python -m benchmarks.peers.engine --help``. ``POST /`` with ``{"clients": 8, "seconds": 2.0}`` calls the signature
``pixels`` from as many threads, but from no more than there are cores, and answers as :mod:`benchmarks.load` does.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.clients import PHOTO
from benchmarks.server import SHIPPED
from scenery import contract, wire
from scenery.onednn import prefer_onednn

SIZE = (224, 224)
CORES = len(os.sched_getaffinity(0))


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8600)
    parser.add_argument("--by-default", action="store_true", help="TensorFlow decides by itself whether to use oneDNN.")
    arguments = parser.parse_args()
    if not arguments.by_default:
        prefer_onednn()
    serve(arguments.port, scorer())


def scorer() -> Callable[[], object]:
    """Return a call of the network with one photo, one thread for an operation, as ``scenery serve`` runs it."""
    from serving.saved_model import SavedModel, SessionOptions  # opens TensorFlow, which reads its environment then

    model = SavedModel(SHIPPED, SessionOptions(config=wire.ConfigProto(intra_op_parallelism_threads=1)))
    pixels = np.asarray(Image.open(PHOTO).convert("RGB").resize(SIZE))[None]
    return lambda: model.run_signature(contract.SIGNATURE_PIXELS, {contract.INPUT_IMAGE: pixels})


def serve(port: int, score: Callable[[], object]) -> None:
    """Measure whenever asked to."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Say that the network is loaded."""
            self._answer({})

        def do_POST(self) -> None:
            """Measure."""
            wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(measure(score, min(wanted["clients"], CORES), wanted["seconds"]))

        def _answer(self, answer: dict[str, Any]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


def measure(score: Callable[[], object], threads: int, seconds: float) -> dict[str, Any]:
    """Call from threads; returns what they saw."""
    milliseconds: list[float] = []
    started = time.perf_counter()

    def client() -> None:
        while (begun := time.perf_counter()) - started < seconds:
            score()
            milliseconds.append((time.perf_counter() - begun) * 1e3)

    clients = [threading.Thread(target=client) for _ in range(threads)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    return {"milliseconds": milliseconds, "failures": [], "failed": 0, "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main()
