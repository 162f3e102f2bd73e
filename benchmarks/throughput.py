"""How many photos a second the embedded server answers, as a ratio to an in-process call.

The floor is the same Session called from two threads, without any server. Contenders take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks import overhead
from benchmarks.server import SHIPPED, running_server

PHOTO = Path("examples/sample.jpg")
CLIENTS = 8
THREADS = 2


def main() -> None:
    """Measure and print; ``--json`` for scripts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="Of each contender in each round.")
    parser.add_argument("--json", action="store_true", help="Print photos per second and ratios as JSON.")
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {"in process, 2 threads": [], "gRPC, 8 clients": [], "REST, 8 clients": []}
    with running_server() as server:
        for _ in range(arguments.rounds):
            rates["in process, 2 threads"].append(in_process(arguments.seconds))
            rates["gRPC, 8 clients"].append(over("grpc", server.grpc, arguments.seconds))
            rates["REST, 8 clients"].append(over("rest", server.rest, arguments.seconds))
    medians = {name: statistics.median(each) for name, each in rates.items()}
    floor = medians["in process, 2 threads"]
    if arguments.json:
        print(json.dumps({name: {"photos_per_second": rate, "ratio": rate / floor} for name, rate in medians.items()}))
        return
    for name, rate in medians.items():
        print(f"{name:22} {rate:7.1f} photos/s   {rate / floor:5.2f} x")


def in_process(seconds: float) -> float:
    """Call the Session from two threads of a process of its own; returns photos a second."""
    command = [sys.executable, "-c", f"from benchmarks.throughput import session; session({seconds})"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def session(seconds: float) -> None:
    """Print how many photos a second two threads get from a Session."""
    classify = overhead.in_process(SHIPPED, PHOTO.read_bytes())
    for _ in range(10):
        classify()
    counts = [0] * THREADS
    started = time.perf_counter()

    def call(thread: int) -> None:
        while time.perf_counter() - started < seconds:
            classify()
            counts[thread] += 1

    threads = [threading.Thread(target=call, args=(thread,)) for thread in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    print(sum(counts) / (time.perf_counter() - started))


def over(wire_name: str, address: str, seconds: float) -> float:
    """Call the server from eight clients; returns photos a second."""
    command = [sys.executable, "-m", "benchmarks.load", wire_name, address]
    command += ["--clients", str(CLIENTS), "--seconds", str(seconds)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert not result["failed"], result["failures"]
    return len(result["milliseconds"]) / float(result["seconds"])


if __name__ == "__main__":
    main()
