"""What one machine carries, for docs/operations.md: the load that it can be given, and the memory it takes.

``load``
    Eight clients that wait for their answers give the peak through the proxy, all cores busy. Then shares of that
    peak begin at random moments and wait for nobody, as many callers do: how long the middle and the slowest hundredth
    take, from when each was due. The clients run on the same cores, so their share of one is told; and what a photo
    costs the proxy itself.
``memory``
    The resident set of the model server that serves one version, two, and so on, each after so many photos from eight
    clients; and of the proxy.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.clients import load, p99, rate
from benchmarks.processes import cpu_seconds, family, memory_mb
from benchmarks.proxy import CLIENTS, Figures, running_proxy
from benchmarks.server import SHIPPED, Server, running_server
from scenery import contract

SHARES = (0.3, 0.5, 0.7, 0.8, 0.9)
SECONDS = 20.0
MEMORY_SECONDS = 10.0
VERSIONS = 4


def main() -> None:
    """Measure and print; ``--json`` for scripts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="Of each share of the load.")
    parser.add_argument("--only", choices=FIGURES, help="Measure this alone.")
    parser.add_argument("--json", action="store_true", help="Print the figures as JSON.")
    arguments = parser.parse_args()
    figures: Figures = {"cores": len(os.sched_getaffinity(0))}
    for name in [arguments.only] if arguments.only else FIGURES:
        figures |= FIGURES[name](arguments.rounds)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:48} {value:9.2f}")


def under_load(rounds: int) -> Figures:
    """Find the peak, then begin shares of it; returns latencies in ms."""
    peaks: list[float] = []
    costs: list[float] = []
    seen: dict[str, list[float]] = {}
    with running_server() as server, running_proxy(server) as proxy:
        load("sockets", proxy.address, "--clients", CLIENTS, "--seconds", MEMORY_SECONDS)  # warms up
        for _ in range(rounds):
            before = cpu_seconds(family(proxy.process.pid))
            loaded = load("sockets", proxy.address, "--clients", CLIENTS, "--seconds", SECONDS)
            costs.append((cpu_seconds(family(proxy.process.pid)) - before) / len(loaded["milliseconds"]) * 1e3)
            peak = rate(loaded)
            peaks.append(peak)
            for share in SHARES:
                given = load("sockets", proxy.address, "--per-second", share * peak, "--seconds", SECONDS)
                name = f"at {share:.0%} of the peak"
                seen.setdefault(f"{name}: median (ms)", []).append(statistics.median(given["milliseconds"]))
                seen.setdefault(f"{name}: p99 (ms)", []).append(p99(given["milliseconds"]))
                seen.setdefault(f"{name}: shed or failed", []).append(len(given["shed_milliseconds"]) + given["failed"])
                seen.setdefault(f"{name}: clients' share of a core", []).append(given["cpu_seconds"] / given["seconds"])
    found = {"peak (photos/s)": statistics.median(peaks), "proxy's CPU for a photo (ms)": statistics.median(costs)}
    return found | {name: statistics.median(each) for name, each in seen.items()}


def memory(_: int) -> Figures:
    """Serve one version after the other besides those before; returns resident sets in MB."""
    figures: Figures = {}
    for count in range(1, VERSIONS + 1):
        with serving_versions(count) as server, running_proxy(server) as proxy:
            load("sockets", proxy.address, "--clients", CLIENTS, "--seconds", MEMORY_SECONDS)
            for version in range(1, count + 1):
                load("grpc", server.grpc, "--clients", CLIENTS, "--version", version, "--seconds", MEMORY_SECONDS)
            figures[f"model server, versions: {count} (MB)"] = memory_mb(server.process.pid, "status", "VmRSS")
            figures["proxy (MB)"] = sum(map(memory_mb, family(proxy.process.pid)))
    return figures


@contextmanager
def serving_versions(count: int) -> Iterator[Server]:
    """Run a server of so many copies of the shipped model, all of them served."""
    with tempfile.TemporaryDirectory() as folder:
        versions = Path(folder) / contract.MODEL_NAME
        for version in range(1, count + 1):
            shutil.copytree(SHIPPED, versions / str(version))
        config = Path(folder) / "serving.config"
        config.write_text(
            f'model_config_list {{ config {{ name: "{contract.MODEL_NAME}" base_path: "{versions}" '
            'model_platform: "tensorflow" model_version_policy { all {} } } }'
        )
        with running_server(f"--model_config_file={config}") as server:
            yield server


FIGURES = {"load": under_load, "memory": memory}

if __name__ == "__main__":
    main()
