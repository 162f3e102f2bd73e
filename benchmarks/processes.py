"""What the kernel knows of processes that are measured, and ports for them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path


def free_ports(count: int) -> list[int]:
    """Return ports that nothing uses; all are held until all are known, so no two are the same."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that have not ended; none of one that has ended itself."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def family(pid: int) -> list[int]:
    """Return a process, its children, and theirs."""
    return [pid, *(each for child in children(pid) for each in family(child))]


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return what processes have computed so far, all of them together."""
    stats = [Path(f"/proc/{pid}/stat").read_text() for pid in pids]
    ticks = sum(int(field) for stat in stats for field in stat.rpartition(")")[2].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, file: str = "smaps_rollup", name: str = "Pss") -> float:
    """Return a line of ``/proc``, in MB of a million bytes; by default what is its own and its share of the rest."""
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / 1e6
