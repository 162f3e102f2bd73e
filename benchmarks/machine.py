"""The machine that figures come from, without its name or any path."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

VECTORS = (
    *("sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"),
    *("amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "bf16", "i8mm", "sve"),
)
"""The extensions by which convolutions are computed, as the kernel names them."""


def describe() -> dict[str, str]:
    """Return what figures depend on, by name; takes a second, to see what others compute."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    about = {name.strip().lower(): value.strip() for name, _, value in reversed(lines)}
    known = about.get("flags", about.get("features", "")).split()
    return {
        "processor": about.get("model name", platform.machine()),
        "vector extensions": " ".join(each for each in VECTORS if each in known),
        "cores": str(len(os.sched_getaffinity(0))),
        "others at work": f"{busy_share():.0%} of the cores, just before",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": platform.python_version(),
        "TensorFlow": version("tensorflow"),
        "commit": _commit(),
    }


def busy_share(seconds: float = 1.0) -> float:
    """Return how much of all cores is computed on, from now on for some seconds, other machines' share of them too."""
    before = _ticks()
    time.sleep(seconds)
    gone = [after - each for after, each in zip(_ticks(), before, strict=True)]
    idle = gone[3] + gone[4]
    return 1 - idle / max(1, sum(gone))


def _ticks() -> list[int]:
    """Return what the cores did since the start, idle fourth and waiting for a disk fifth: proc_stat(5)."""
    return [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


def _commit() -> str:
    """Return the commit, and whether files differ from it; nothing where this is no git checkout."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
