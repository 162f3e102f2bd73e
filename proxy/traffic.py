"""Which version a request is sent to: a share of the callers gets the canary, the same ones every time.

And whether the other version gets it as well, later: a share of the requests, by chance.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenery import contract

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
"""How long an edit of the file may go unseen."""

_BUCKETS = 10_000


@dataclass(frozen=True)
class Route:
    """The label of the version that answers a request, and of the one that is compared with it."""

    label: str | None
    """None for the latest version."""
    shadow_label: str | None
    """None if no other version is asked."""


@dataclass(frozen=True)
class _Split:
    canary_percent: float
    shadow_percent: float


class Traffic:
    """The split that a file asks for: ``{"canary_percent": 10, "shadow_percent": 5}``; followed when it changes.

    Without ``shadow_percent`` no request has a shadow. Threads share it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = float("-inf")
        self._stamp: tuple[int, int, int] | None = None
        self._split: _Split | None = None

    def route(self, key: str | None) -> Route:
        """Return the label of the version to ask, and that of the other one if it is to be asked as well.

        Parameters
        ----------
        key
            What stands for the caller: the same key gets the same label, as long as the split is the
            same, and a growing share only adds keys. None: the request is drawn by chance. Shadows are
            drawn by chance always.
        """
        self._look()
        split = self._split  # one reading: another thread may follow the file meanwhile
        if split is None:
            return Route(None, None)
        labels = [contract.LABEL_STABLE, contract.LABEL_CANARY]
        place = random.randrange(_BUCKETS) if key is None else _bucket(key)
        if place < split.canary_percent / 100 * _BUCKETS:
            labels.reverse()
        label, other = labels
        return Route(label, other if random.random() < split.shadow_percent / 100 else None)

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
            self._split = _read(self._path) if stamp else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("%s is not followed, the split stays as it was: %r", self._path, error)


def _read(path: Path) -> _Split:
    told = json.loads(path.read_text())
    return _Split(
        canary_percent=_percent("canary_percent", told["canary_percent"]),
        shadow_percent=_percent("shadow_percent", told.get("shadow_percent", 0)),
    )


def _percent(name: str, value: Any) -> float:
    percent = float(value)
    if not 0 <= percent <= 100:
        raise ValueError(f"{name} must lie between 0 and 100. Received: {percent}")
    return percent


def _bucket(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % _BUCKETS


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)
