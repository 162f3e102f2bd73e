"""What the wires and the proxy add to the model itself, as ratios to an in-process call.

The contenders take turns, round by round, so that a noisy machine disturbs all of them alike; one
client, one photo at a time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.load import over_grpc, over_proxy, over_rest
from scenery import contract, wire
from scenery.stack.supervisor import StackOptions, running_stack
from serving.saved_model import SavedModel, SessionOptions

ROUNDS = 40
CALLS = 5
PORTS = (18080, 18500, 18501)


def main() -> None:
    """Measure and print; ``--json`` for scripts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=Path("examples/sample.jpg"), help="The photo that is sent.")
    parser.add_argument("--version-dir", type=Path, default=Path("models/scenery/1"), help="For the in-process call.")
    parser.add_argument("--json", action="store_true", help="Print medians (ms) and ratios as JSON.")
    arguments = parser.parse_args()
    photo = arguments.photo.read_bytes()
    with tempfile.TemporaryDirectory() as run_dir:
        options = StackOptions("embedded", "127.0.0.1", *PORTS, Path("serving.config"), Path("models"), Path(run_dir))
        with running_stack(options, threading.Event()):
            contenders = {
                "in process": in_process(arguments.version_dir, photo),
                "gRPC": over_grpc(f"127.0.0.1:{PORTS[1]}", photo),
                "REST, base64": over_rest(f"127.0.0.1:{PORTS[2]}", photo),
                "proxy": over_proxy(f"127.0.0.1:{PORTS[0]}", photo),
            }
            medians = alternate(contenders)
    floor = medians["in process"]
    if arguments.json:
        print(json.dumps({name: {"median_ms": ms, "ratio": ms / floor} for name, ms in medians.items()}))
        return
    for name, ms in medians.items():
        print(f"{name:14} {ms:7.2f} ms   {ms / floor:5.2f} x   {ms - floor:+6.2f} ms")


def alternate(contenders: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Call every contender in turn, round after round; returns the median of each, in ms."""
    milliseconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(ROUNDS + 1):
        for name, call in contenders.items():
            for _ in range(CALLS):
                started = time.perf_counter()
                call()
                if round_number:  # the first round warms up
                    milliseconds[name].append((time.perf_counter() - started) * 1e3)
    return {name: statistics.median(each) for name, each in milliseconds.items()}


def in_process(version_dir: Path, photo: bytes) -> Callable[[], object]:
    model = SavedModel(version_dir, SessionOptions(config=wire.ConfigProto(intra_op_parallelism_threads=1)))
    inputs = {contract.INPUT_IMAGE_BYTES: np.array([photo], object)}
    return lambda: model.run_signature(contract.SIGNATURE_CLASSIFY, inputs)


if __name__ == "__main__":
    main()
