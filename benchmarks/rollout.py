"""What a rollout costs the callers: clients of the proxy and of the model server call all the while.

A publish, and then canary, promotion, rollback and pruning, each beside a phase of steady load:
failed calls, and the 99th percentile of latency as a ratio. Then how long a rollback takes, and
which share of 2,000 callers a canary of 10 % gets.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.clients import Load, p99
from benchmarks.server import SHIPPED
from benchmarks.stack import Stack, running_stack

CLIENTS = 2
"""Of the proxy, and as many of the model server."""
SECONDS = 20.0
CALLERS = 2000

Figures = dict[str, float]


def main() -> None:
    """Measure and print; ``--json`` for scripts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="Of steady load and of load with a rollout.")
    parser.add_argument("--json", action="store_true", help="Print the figures as JSON.")
    arguments = parser.parse_args()
    with running_stack() as stack:
        stack.run("promote", "1")
        figures = publishing(stack) | moving(stack, arguments.rounds) | sharing(stack)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:42} {value:9.2f}")


def publishing(stack: Stack) -> Figures:
    """Publish the shipped model once more, beside steady load."""
    return beside_steady(stack, "publish", [lambda: stack.run("publish", str(SHIPPED), "--latency-ratio", "5")])


def moving(stack: Stack, rounds: int) -> Figures:
    """Move versions to and fro, beside steady load."""
    took: list[float] = []

    def once() -> None:
        stack.run("canary", "2", "--percent", "10")
        stack.run("promote")
        took.append(stack.run("rollback"))
        stack.run("prune", "--keep", "3")

    return beside_steady(stack, "rollout", [once] * rounds) | {"rollback, longest (s)": max(took)}


def sharing(stack: Stack) -> Figures:
    """Call as 2,000 callers, each with a key of its own."""
    stack.run("canary", "2", "--percent", "10")
    connection = http.client.HTTPConnection(stack.proxy, timeout=60)
    photo = Path("examples/sample.jpg").read_bytes()
    versions: Counter[int] = Counter()
    for caller in range(CALLERS):
        headers = {"Content-Type": "image/jpeg", "X-Request-Key": f"caller-{caller}"}
        connection.request("POST", "/v1/classify", photo, headers)
        versions[json.loads(connection.getresponse().read())["photos"][0]["version"]] += 1
    return {"callers of a 10 % canary (%)": 100 * versions[2] / CALLERS}


def beside_steady(stack: Stack, name: str, actions: list[Callable[[], object]]) -> Figures:
    """Load the stack in turns without and with an action; returns p99s in ms, their ratios, and failed calls."""
    steady: dict[str, list[float]] = {}
    busy: dict[str, list[float]] = {}
    failed = 0
    for action in actions:
        for phase, act in ((steady, None), (busy, action)):
            for way, result in loaded(stack, act).items():
                phase.setdefault(way, []).append(p99(result["milliseconds"]))
                failed += result["failed"]
    figures: Figures = {f"{name}: failed calls": failed}
    for way in steady:
        before, during = statistics.median(steady[way]), statistics.median(busy[way])
        figures[f"{name}: p99 by {way}, steady (ms)"] = before
        figures[f"{name}: p99 by {way}, during (ms)"] = during
        figures[f"{name}: p99 by {way}, ratio"] = during / before
    return figures


def loaded(stack: Stack, action: Callable[[], object] | None) -> dict[str, Any]:
    """Call both ways while an action lasts, or for some seconds; returns what the clients saw."""
    loads = {"proxy": start("proxy", stack.proxy), "gRPC": start("grpc", stack.grpc)}
    if action is None:
        time.sleep(SECONDS)
    else:
        action()
    return {way: load.stop() for way, load in loads.items()}


def start(wire: str, address: str) -> Load:
    """Begin to call, until stopped."""
    return Load(wire, address, "--clients", CLIENTS, "--seconds", 3600)


if __name__ == "__main__":
    main()
