"""Memory that is kept for the next photo."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PHOTOS = """
import resource, sys
from scenery.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def faults():
    [b"x" * 3_000_000 for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
faults()
before = faults()
print([faults() for _ in range(20)][-1] - before)
"""


def faults(how: str) -> int:
    """Return the pages that twenty times twelve megabytes took from the system, after the first time."""
    command = [sys.executable, "-c", PHOTOS, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_photos_use_the_memory_of_those_before():
    """Hardly a page comes from the system twice; without, many more come again for each photo."""
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("this C library has no mallopt: only glibc gives memory back so eagerly")
    assert faults("kept") < faults("given back") / 4
