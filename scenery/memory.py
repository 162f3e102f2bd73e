"""Memory of photos, kept for those that come next."""

from __future__ import annotations

import ctypes
import os

_SETTINGS = {
    "MALLOC_ARENA_MAX": (-8, 2),
    "MALLOC_MMAP_THRESHOLD_": (-3, 32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": (-1, 64 * 2**20),
}
"""The number of each of glibc's settings, and its value here, by the variable that would set it. Source: mallopt(3) and
malloc.h. Blocks of more than 32 MiB come from the system all the same; glibc takes no larger threshold.
"""


def keep_freed_memory() -> None:
    """Let the process keep some memory that it freed; before it starts threads. Without glibc nothing happens.

    Otherwise the memory of each photo goes back to the system and comes from there for the next one, page by page:
    for 3 MB that takes longer than all else that is done with the bytes. Here what is free at the end of an arena goes
    back beyond 64 MiB only; there are two arenas, which threads share, where by default there would be eight for each
    core. What the environment sets stays as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for variable, (number, value) in _SETTINGS.items():
            if variable not in os.environ:
                mallopt(number, value)
