"""How many photos this process has looked at, for a bar that is shown beside the work."""

from __future__ import annotations

import threading

_lock = threading.Lock()
_photos = 0


def add() -> None:
    """Count a photo. Threads share this."""
    global _photos
    with _lock:
        _photos += 1


def count() -> int:
    """Return the photos so far; 0 where other processes do the work."""
    return _photos
