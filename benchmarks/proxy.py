"""What the proxy costs in front of a model server, what it holds, and what it does with too many requests.

``added``
    A photo through the proxy against the same bytes by gRPC, one client each, call by call in turns: what the
    median and the 99th percentile grow by. Once with Python's HTTP client, once with a bare socket: what is
    between these two is the client's.
``throughput``
    Photos a second of eight clients through the proxy, as a share of those of eight clients by gRPC.
``start``
    From the command until a photo is answered, and what the worker holds after a thousand photos.
``overload``
    Eight clients that wait for their answers give the peak and the loaded 99th percentile. Then three times as many
    requests a second begin at random moments and wait for nobody: how many are accepted, as a share of the peak, and
    how long these take, as a ratio; what is shed, and how quickly; what fails. The clients run on the same
    cores, so their own share of one is told, and how late they began their requests.

The proxy runs with its default settings. Contenders take turns, round by round; ratios and differences are taken
within a round, and the median of the rounds is told, with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from benchmarks.clients import PHOTO, load, p99, rate
from benchmarks.load import Send, over_bare_socket, over_grpc, over_proxy
from benchmarks.processes import children, free_ports, memory_mb
from benchmarks.server import START_SECONDS, Server, running_server

CLIENTS = 8
CALLS = 1000
"""Of each contender in a round of ``added``, and of all clients before memory is read."""
SECONDS = 6.0
"""Of each contender in a round of ``throughput``."""
PEAK_SECONDS = 10.0
OVERLOAD_SECONDS = 20.0
OVERLOAD = 3.0
"""Requests a second, as a multiple of the peak."""
LOOK_SECONDS = 0.005
"""Between two attempts to get a first answer."""
STOP_SECONDS = 30.0

Figures = dict[str, float]


def main() -> None:
    """Measure and print; ``--json`` for scripts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="Of each figure.")
    parser.add_argument("--only", choices=FIGURES, action="append", help="Measure this alone; may be repeated.")
    parser.add_argument("--json", action="store_true", help="Print the figures as JSON.")
    arguments = parser.parse_args()
    figures: Figures = {}
    with running_server() as server:
        for _ in range(CLIENTS):
            over_grpc(server.grpc, PHOTO.read_bytes())()
        for name in arguments.only or FIGURES:
            figures |= FIGURES[name](server, arguments.rounds)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:48} {value:9.2f}")


def added(server: Server, rounds: int) -> Figures:
    """Call the proxy and the model server in turns; returns how much longer the proxy takes, in ms."""
    photo = PHOTO.read_bytes()
    seen: dict[str, list[float]] = {}
    with running_proxy(server) as proxy:
        address = proxy.address
        calls = over_grpc(server.grpc, photo), over_proxy(address, photo), over_bare_socket(address, photo)
        in_turns(calls, CALLS // 10)  # warms up
        for _ in range(rounds):
            by_grpc, by_proxy, by_socket = in_turns(calls, CALLS)
            for name, milliseconds in {"": by_proxy, ", bare socket": by_socket}.items():
                median = statistics.median(milliseconds) - statistics.median(by_grpc)
                seen.setdefault(f"added to the median{name} (ms)", []).append(median)
                seen.setdefault(f"added to p99{name} (ms)", []).append(p99(milliseconds) - p99(by_grpc))
            seen.setdefault("median by gRPC (ms)", []).append(statistics.median(by_grpc))
    figures: Figures = {}
    for name, values in seen.items():
        figures |= of_rounds(name, values)
    return figures


def in_turns(calls: tuple[Send, ...], count: int) -> tuple[list[float], ...]:
    """Call each so many times, one after the other; returns their latencies in ms."""
    milliseconds: tuple[list[float], ...] = tuple([] for _ in calls)
    for _ in range(count):
        for call, taken in zip(calls, milliseconds, strict=True):
            begun = time.perf_counter()
            call()
            taken.append((time.perf_counter() - begun) * 1e3)
    return milliseconds


def throughput(server: Server, rounds: int) -> Figures:
    """Load both with eight clients, in turns; returns photos a second, and the proxy's share."""
    by_grpc, by_proxy = [], []
    eight = ("--clients", CLIENTS, "--seconds", SECONDS)
    with running_proxy(server) as proxy:
        for _ in range(rounds):
            by_grpc.append(rate(load("grpc", server.grpc, *eight)))
            by_proxy.append(rate(load("proxy", proxy.address, *eight)))
    shares = [through / direct for through, direct in zip(by_proxy, by_grpc, strict=True)]
    return of_rounds("throughput, share of gRPC's", shares) | {
        "throughput by gRPC (photos/s)": statistics.median(by_grpc),
        "throughput by proxy (photos/s)": statistics.median(by_proxy),
    }


def start(server: Server, rounds: int) -> Figures:
    """Start a proxy again and again; then have one answer many photos, and look at its worker."""
    photo = PHOTO.read_bytes()
    seconds = []
    for _ in range(rounds):
        with running_proxy(server) as proxy:
            seconds.append(proxy.started_seconds)
    with running_proxy(server) as proxy, ThreadPoolExecutor(CLIENTS) as pool:

        def client(_: int) -> None:
            send = over_proxy(proxy.address, photo)
            for _ in range(CALLS // CLIENTS):
                send()

        list(pool.map(client, range(CLIENTS)))
        (worker,) = proxy.workers()
        held = {
            "worker, resident (MB)": memory_mb(worker, "status", "VmRSS"),
            "worker, its share of it (PSS, MB)": memory_mb(worker),
            "master, resident (MB)": memory_mb(proxy.process.pid, "status", "VmRSS"),
        }
    return of_rounds("start to first answer (s)", seconds) | held


def overload(server: Server, rounds: int) -> Figures:
    """Find the peak, then begin three times as many requests, in turns."""
    seen: dict[str, list[float]] = {}
    with running_proxy(server) as proxy:
        load("sockets", proxy.address, "--clients", CLIENTS, "--seconds", SECONDS)  # warms up
        for _ in range(rounds):
            peak = load("sockets", proxy.address, "--clients", CLIENTS, "--seconds", PEAK_SECONDS)
            per_second = OVERLOAD * peak["in_time"] / peak["seconds"]
            flood = load("sockets", proxy.address, "--per-second", per_second, "--seconds", OVERLOAD_SECONDS)
            for name, value in against(peak, flood).items():
                seen.setdefault(name, []).append(value)
    failed = seen.pop("failed")
    ratios = {name: seen.pop(name) for name in ("accepted, share of peak", "p99, accepted to loaded")}
    figures: Figures = {}
    for name, values in ratios.items():
        figures |= of_rounds(f"overload: {name}", values)
    figures |= {f"overload: {name}": statistics.median(values) for name, values in seen.items()}
    figures = {name: value for name, value in figures.items() if not math.isnan(value)}
    return figures | {"overload: failed, of all rounds": sum(failed)}


def against(peak: dict[str, Any], flood: dict[str, Any]) -> Figures:
    """Compare what eight patient clients got with what impatient ones did."""
    accepted, shed = flood["milliseconds"], flood["shed_milliseconds"]
    peak_rate = peak["in_time"] / peak["seconds"]
    loaded, begun = p99(peak["milliseconds"]), len(flood["late_milliseconds"])
    return {
        "accepted, share of peak": flood["in_time"] / flood["seconds"] / peak_rate,
        "p99, accepted to loaded": tail(accepted) / loaded,
        "failed": peak["failed"] + flood["failed"],
        "peak (photos/s)": peak_rate,
        "begun (photos/s)": begun / flood["seconds"],
        "shed at the peak (%)": 100 * len(peak["shed_milliseconds"]) / (len(peak["milliseconds"]) or 1),
        "loaded median (ms)": statistics.median(peak["milliseconds"]),
        "loaded p99 (ms)": loaded,
        "accepted p99 (ms)": tail(accepted),
        "shed (%)": 100 * len(shed) / begun,
        "shed, median (ms)": statistics.median(shed or [math.nan]),
        "shed, p99 (ms)": tail(shed),
        "clients' share of a core, peak (%)": 100 * peak["cpu_seconds"] / peak["seconds"],
        "clients' share of a core, overload (%)": 100 * flood["cpu_seconds"] / flood["seconds"],
        "clients late, p99 (ms)": tail(flood["late_milliseconds"]),
        "connections opened": flood["connections"],
    }


def tail(milliseconds: list[float]) -> float:
    """Return the 99th percentile; not a number if there are too few for one."""
    return p99(milliseconds) if len(milliseconds) > 1 else math.nan


def of_rounds(name: str, values: list[float]) -> Figures:
    """Return the median of the rounds, and how far they lie apart."""
    return {name: statistics.median(values), f"{name}, lowest": min(values), f"{name}, highest": max(values)}


@dataclass(frozen=True)
class Proxy:
    """A proxy that has answered a photo."""

    process: subprocess.Popen[bytes]
    address: str
    started_seconds: float
    """From the command until the answer."""

    def workers(self) -> list[int]:
        """Return the processes that answer."""
        return children(self.process.pid)


@contextmanager
def running_proxy(server: Server) -> Iterator[Proxy]:
    """Run a proxy with its default settings in front of a server."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "scenery", "proxy", "--port", str(port), "--model-server", server.grpc]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCENERY_")}
    with tempfile.TemporaryFile() as log:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            _await_answer(f"127.0.0.1:{port}", process, log)
            yield Proxy(process, f"127.0.0.1:{port}", time.perf_counter() - begun)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _await_answer(address: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    photo, deadline = PHOTO.read_bytes(), time.monotonic() + START_SECONDS
    while True:
        try:
            over_proxy(address, photo)()
            return
        except (OSError, http.client.HTTPException, AssertionError):
            time.sleep(LOOK_SECONDS)
        if process.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            raise RuntimeError(f"The proxy does not answer. Its last words: {log.read()[-2000:].decode()}")


FIGURES: dict[str, Callable[[Server, int], Figures]] = {
    "added": added,
    "throughput": throughput,
    "start": start,
    "overload": overload,
}


if __name__ == "__main__":
    main()
