"""Which version a request is sent to: a share of the callers gets the canary, the same ones every time."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import time
from pathlib import Path

from scenery import contract

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
"""How long an edit of the file may go unseen."""

_BUCKETS = 10_000


class Traffic:
    """The split that a file asks for: ``{"canary_percent": 10}``; followed when it changes. Threads share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = float("-inf")
        self._stamp: tuple[int, int, int] | None = None
        self._canary_percent: float | None = None

    def label(self, key: str | None) -> str | None:
        """Return the label of the version to ask, or None for the latest.

        Parameters
        ----------
        key
            What stands for the caller: the same key gets the same label, as long as the split is the
            same, and a growing share only adds keys. None: the request is drawn by chance.
        """
        self._look()
        if self._canary_percent is None:
            return None
        place = random.randrange(_BUCKETS) if key is None else _bucket(key)
        return contract.LABEL_CANARY if place < self._canary_percent / 100 * _BUCKETS else contract.LABEL_STABLE

    def _look(self) -> None:
        """Read the file if it has changed; one that cannot be used changes nothing."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._canary_percent = _percent(self._path) if stamp else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("%s is not followed, the split stays as it was: %r", self._path, error)


def _percent(path: Path) -> float:
    percent = float(json.loads(path.read_text())["canary_percent"])
    if not 0 <= percent <= 100:
        raise ValueError(f"canary_percent must lie between 0 and 100. Received: {percent}")
    return percent


def _bucket(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % _BUCKETS


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)
