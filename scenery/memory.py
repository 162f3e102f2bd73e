"""Memory of photos, kept for those that come next."""

from __future__ import annotations

import ctypes

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
"""The numbers of glibc's settings. Source: mallopt(3) and malloc.h."""

_ARENAS = 2
_KEPT_BYTES = 64 * 2**20
_LARGEST_BYTES = 32 * 2**20
"""Larger blocks come from the system all the same; glibc takes no larger threshold (DEFAULT_MMAP_THRESHOLD_MAX)."""


def keep_freed_memory() -> None:
    """Let the process keep some memory that it freed; before it starts threads. Without glibc nothing happens.

    Otherwise the memory of each photo goes back to the system and comes from there for the next one, page by page:
    for 3 MB that takes longer than all else that is done with the bytes. Up to 64 MiB are kept in each of two arenas,
    which threads share; by default there would be eight for each core.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, _ARENAS)
        mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
