"""What a new version costs the requests in flight, and what many versions cost in memory.

First eight gRPC clients call without pause while versions are dropped in: failed calls, and the 99th
percentile of latency against that of steady load. Then versions are dropped in one after the other,
under one client, and the resident set is watched.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from benchmarks.clients import Load, p99
from benchmarks.server import Server, running_server

CLIENTS = 8
SECONDS = 20.0
PAUSE_SECONDS = 2.0
MEMORY_SECONDS = 3600.0
"""Longer than any number of swaps takes."""


def main() -> None:
    """Measure and print; ``--json`` for scripts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="Of steady load and of load with new versions.")
    parser.add_argument("--swaps", type=int, default=50, help="Versions for the memory.")
    parser.add_argument("--json", action="store_true", help="Print the figures as JSON.")
    arguments = parser.parse_args()
    with running_server() as server:
        figures = latency(server, arguments.rounds)
    with running_server() as server:
        figures |= memory(server, arguments.swaps)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:28} {value:9.2f}")


def latency(server: Server, rounds: int) -> dict[str, float]:
    """Load the server, in turns without and with new versions; returns p99s in ms and failed calls."""
    steady, swapping, failed, versions = [], [], 0, count(2)
    for _ in range(rounds):
        quiet = start_load(server, CLIENTS, SECONDS)
        steady.append(quiet.result())
        swapping.append(while_dropping(start_load(server, CLIENTS, SECONDS), server.drop, versions))
    failed = sum(result["failed"] for result in (*steady, *swapping))
    before = statistics.median(p99(result["milliseconds"]) for result in steady)
    during = statistics.median(p99(result["milliseconds"]) for result in swapping)
    return {
        "versions dropped in": next(versions) - 2,
        "failed calls": failed,
        "p99, steady (ms)": before,
        "p99, with new versions (ms)": during,
        "ratio of p99": during / before,
    }


def memory(server: Server, swaps: int) -> dict[str, float]:
    """Drop version after version in under load; returns the resident set after ten and after all, in MiB."""
    load = start_load(server, 1, MEMORY_SECONDS)
    resident = []
    try:
        for version in range(2, swaps + 2):
            server.drop(version)
            resident.append(server.resident_mib())
    finally:
        load.stop()
    tenth = resident[min(9, len(resident) - 1)]
    return {
        "resident, 10th swap (MiB)": tenth,
        f"resident, {swaps}th swap (MiB)": resident[-1],
        "largest growth over 10th (%)": 100 * (max(resident[9:] or [tenth]) / tenth - 1),
    }


def while_dropping(busy: Load, drop: Callable[[int], object], versions: Iterator[int]) -> dict[str, Any]:
    """Drop version after version in while clients call; returns what they saw."""
    try:
        while busy.is_running():
            drop(next(versions))
            time.sleep(PAUSE_SECONDS)
    except BaseException:
        busy.kill()
        raise
    return busy.result()


def start_load(server: Server, clients: int, seconds: float) -> Load:
    """Begin to call the server over gRPC."""
    return Load("grpc", server.grpc, "--clients", clients, "--seconds", seconds)


if __name__ == "__main__":
    main()
