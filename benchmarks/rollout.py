"""What a rollout costs the callers: clients of the proxy and of the model server call all the while.

A publish, and then canary, promotion, rollback and pruning, each beside a phase of steady load:
failed calls, and the 99th percentile of latency as a ratio. Then how long a rollback takes, and
which share of 2,000 callers a canary of 10 % gets.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.server import SHIPPED
from benchmarks.swap import Load, p99

PORTS = (18080, 18500, 18501)
CLIENTS = 2
"""Of the proxy, and as many of the model server."""
SECONDS = 20.0
CALLERS = 2000
START_SECONDS = 60.0

Figures = dict[str, float]


@dataclass(frozen=True)
class Stack:
    """``scenery serve`` on files of its own."""

    work: Path

    def run(self, *arguments: str) -> float:
        """Run a command of ``scenery`` on it; returns the seconds it took."""
        places = ["--config", str(self.work / "serving.config"), "--models-dir", str(self.work / "models")]
        if arguments[0] != "publish":
            places += ["--model-server", f"127.0.0.1:{PORTS[1]}"]
        begun = time.monotonic()
        subprocess.run([sys.executable, "-m", "scenery", *arguments, *places], check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - begun

    def drop(self, version: int) -> None:
        """Drop the shipped model in as another version."""
        models = self.work / "models/scenery"
        shutil.copytree(SHIPPED, models / f".incoming-{version}").rename(models / str(version))


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
    return beside_steady("publish", [lambda: stack.run("publish", str(SHIPPED), "--latency-ratio", "5")])


def moving(stack: Stack, rounds: int) -> Figures:
    """Move versions to and fro, beside steady load."""
    took: list[float] = []

    def once() -> None:
        stack.run("canary", "2", "--percent", "10")
        stack.run("promote")
        took.append(stack.run("rollback"))
        stack.run("prune", "--keep", "3")

    return beside_steady("rollout", [once] * rounds) | {"rollback, longest (s)": max(took)}


def sharing(stack: Stack) -> Figures:
    """Call as 2,000 callers, each with a key of its own."""
    stack.run("canary", "2", "--percent", "10")
    connection = http.client.HTTPConnection("127.0.0.1", PORTS[0], timeout=60)
    photo = Path("examples/sample.jpg").read_bytes()
    versions: Counter[int] = Counter()
    for caller in range(CALLERS):
        headers = {"Content-Type": "image/jpeg", "X-Request-Key": f"caller-{caller}"}
        connection.request("POST", "/v1/classify", photo, headers)
        versions[json.loads(connection.getresponse().read())["photos"][0]["version"]] += 1
    return {"callers of a 10 % canary (%)": 100 * versions[2] / CALLERS}


def beside_steady(name: str, actions: list[Callable[[], object]]) -> Figures:
    """Load the stack in turns without and with an action; returns p99s in ms, their ratios, and failed calls."""
    steady: dict[str, list[float]] = {}
    busy: dict[str, list[float]] = {}
    failed = 0
    for action in actions:
        for phase, act in ((steady, None), (busy, action)):
            for way, result in loaded(act).items():
                phase.setdefault(way, []).append(p99(result["milliseconds"]))
                failed += result["failed"]
    figures: Figures = {f"{name}: failed calls": failed}
    for way in steady:
        before, during = statistics.median(steady[way]), statistics.median(busy[way])
        figures[f"{name}: p99 by {way}, steady (ms)"] = before
        figures[f"{name}: p99 by {way}, during (ms)"] = during
        figures[f"{name}: p99 by {way}, ratio"] = during / before
    return figures


def loaded(action: Callable[[], object] | None) -> dict[str, Any]:
    """Call both ways while an action lasts, or for some seconds; returns what the clients saw."""
    loads = {"proxy": start(f"127.0.0.1:{PORTS[0]}", "proxy"), "gRPC": start(f"127.0.0.1:{PORTS[1]}", "grpc")}
    if action is None:
        time.sleep(SECONDS)
    else:
        action()
    return {way: load.stop() for way, load in loads.items()}


class EndlessLoad(Load):
    """Clients that call until they are stopped."""

    def stop(self) -> dict[str, Any]:
        """Let them finish; returns what :mod:`benchmarks.load` prints."""
        self.process.terminate()
        return self.result()


def start(address: str, wire: str) -> EndlessLoad:
    """Begin to call."""
    command = [sys.executable, "-m", "benchmarks.load", wire, address, "--clients", str(CLIENTS), "--seconds", "3600"]
    return EndlessLoad(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Run ``scenery serve`` with the shipped model as version 1."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copy("serving.config", work)
        shutil.copytree(SHIPPED, work / "models/scenery/1")
        command = [sys.executable, "-m", "scenery", "serve", "--config", str(work / "serving.config")]
        command += ["--models-dir", str(work / "models"), "--run-dir", str(work / "run")]
        for flag, port in zip(("--port", "--grpc-port", "--rest-port"), PORTS, strict=True):
            command += [flag, str(port)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _await_ready(process)
            yield Stack(work)
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _await_ready(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, "scenery serve has ended"
        assert time.monotonic() < deadline, "scenery serve is not ready"
        try:
            connection = http.client.HTTPConnection("127.0.0.1", PORTS[0], timeout=10)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            pass
        time.sleep(0.2)


if __name__ == "__main__":
    main()
