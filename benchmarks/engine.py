"""How fast the network itself runs: by how it is exported, and by TensorFlow's settings. What Scenery does, and why.

Each contender runs in a process of its own, one after the other, round by round: photos a second that are decoded
already, from one thread and from as many as there are cores, as ratios to the version as Scenery serves it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scenery.onednn import VARIABLE

SHIPPED_VERSION = Path("models/scenery/1")
DT_UINT8 = 4
"""Of ``tensorflow.DataType``."""
CORES = len(os.sched_getaffinity(0))
SIZE = (224, 224)


class Contender(NamedTuple):
    """A version, and how TensorFlow runs it."""

    graph: str
    """The version as it is shipped, or one of those that :func:`write_graphs` writes."""
    onednn: str | None = "1"
    intra_op: int = 1
    """Threads for one operation; 0: as TensorFlow decides."""
    inter_op: int = 0
    """Operations at a time; the same."""


SHIPPED = "as exported"
CONTENDERS = {
    "as Scenery exports and serves it": Contender(SHIPPED),
    "  variables, as Keras exports them": Contender("variables"),
    "  constants": Contender("constants"),
    "  constants, normalisation folded": Contender("normalisation folded"),
    "  without oneDNN": Contender(SHIPPED, onednn="0"),
    "  two threads for an operation": Contender(SHIPPED, intra_op=2),
    "  one operation at a time": Contender(SHIPPED, inter_op=1),
    "  all threads as TensorFlow decides": Contender(SHIPPED, intra_op=0),
    "variables, all as TensorFlow decides": Contender("variables", onednn=None, intra_op=0),
}


def main() -> None:
    """Measure and print; ``--json`` for scripts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="Of each setting and number of threads.")
    parser.add_argument("--json", action="store_true", help="Print photos a second of every round as JSON.")
    arguments = parser.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        run(f"write_graphs({folder!r})")
        for number in range(arguments.rounds):
            for name, contender in CONTENDERS.items():
                print(f"round {number + 1} of {arguments.rounds}: {name.strip()}", file=sys.stderr)
                rounds[name].append(json.loads(measured(contender, Path(folder), arguments.seconds)))
    if arguments.json:
        print(json.dumps(rounds))
        return
    served = next(iter(rounds.values()))
    for name, each in rounds.items():
        for threads in served[0]:
            rates = [one[threads] for one in each]
            ratios = [one[threads] / base[threads] for one, base in zip(each, served, strict=True)]
            told = f"{statistics.median(rates):7.1f} photos/s   {statistics.median(ratios):5.2f} x"
            print(f"{name:52} {threads:10} {told}   {min(ratios):.2f} to {max(ratios):.2f}")


def measured(contender: Contender, folder: Path, seconds: float) -> str:
    """Measure in a process of its own; returns photos a second by number of threads, as JSON."""
    version = SHIPPED_VERSION if contender.graph == SHIPPED else folder / contender.graph
    given = {} if contender.onednn is None else {VARIABLE: contender.onednn}
    return run(f"measure({str(version)!r}, {contender.intra_op}, {contender.inter_op}, {seconds})", given)


def run(call: str, given: Mapping[str, str] | None = None) -> str:
    """Call a function of this module in a process of its own; returns what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", **(given or {})}
    command = [sys.executable, "-c", f"from benchmarks import engine; engine.{call}"]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def write_graphs(folder: str) -> None:
    """Write the shipped network as versions that leave out what :mod:`export.freeze` does, step by step."""
    import tensorflow as tf

    from benchmarks.peers.network import rebuilt
    from export.freeze import fold_batch_norms, to_constants
    from scenery import contract
    from scenery.loaded import LoadedVersion

    with LoadedVersion(SHIPPED_VERSION) as version:
        network = rebuilt(version, SIZE, len(version.describe().labels))
    network.export(Path(folder, "variables"), verbose=False)
    for name, each in {"constants": network, "normalisation folded": fold_batch_norms(network)}.items():
        frozen = to_constants(each, SIZE)
        with tf.compat.v1.Session(graph=tf.Graph()) as session, session.graph.as_default():
            tf.import_graph_def(frozen.graph_def, name="")
            pixels, scores = map(session.graph.get_tensor_by_name, (frozen.input_name, frozen.output_name))
            named = {contract.INPUT_IMAGE: pixels}, {contract.OUTPUT_SCORES: scores}
            tf.compat.v1.saved_model.simple_save(session, str(Path(folder, name)), *named)


def measure(version: str, intra_op: int, inter_op: int, seconds: float) -> None:
    """Print photos a second of this process, by number of threads, as JSON."""
    import numpy as np

    from scenery import contract, wire
    from serving.saved_model import DEFAULT_SIGNATURE, SavedModel, SessionOptions

    threads = wire.ConfigProto(intra_op_parallelism_threads=intra_op, inter_op_parallelism_threads=inter_op)
    model = SavedModel(Path(version), SessionOptions(config=threads))
    name = contract.SIGNATURE_PIXELS if contract.SIGNATURE_PIXELS in model.signatures else DEFAULT_SIGNATURE
    ((alias, tensor),) = model.signatures[name].inputs.items()
    pixels = np.random.default_rng(1).integers(0, 256, (1, *SIZE, 3)).astype(np.uint8)
    inputs = {alias: pixels if tensor.dtype == DT_UINT8 else pixels / np.float32(127.5) - 1}

    def score() -> Any:
        return model.run_signature(name, inputs)

    print(json.dumps({f"{count} threads": rate(score, count, seconds) for count in sorted({1, CORES})}))


def rate(score: Any, count: int, seconds: float) -> float:
    """Return calls a second from so many threads."""
    for _ in range(10):
        score()
    calls = [0] * count
    started = time.perf_counter()

    def call(place: int) -> None:
        while time.perf_counter() - started < seconds:
            score()
            calls[place] += 1

    threads = [threading.Thread(target=call, args=(place,)) for place in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return sum(calls) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
