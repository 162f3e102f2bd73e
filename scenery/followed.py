"""What a small file says, followed while it changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from scenery.errors import SceneryError
from scenery.files import Stamp, stamp

log = logging.getLogger(__name__)

_UNREAD: Stamp = (0, 0, 0)
"""The stamp of no file, which a missing one does not have either."""

_Said = TypeVar("_Said")


class Followed(Generic[_Said]):
    """What a file said when it last could be used. Threads share it."""

    def __init__(self, path: Path, read: Callable[[Path], _Said], value: _Said, look_seconds: float) -> None:
        """Remember what to follow; the file is first looked at when its value is asked for.

        Parameters
        ----------
        read
            Returns what a file says, a missing one too if that says something; raises ``OSError``, ``ValueError``
            or :class:`SceneryError` if it cannot be used.
        value
            What holds until a file could be used.
        look_seconds
            How old the last look at the file may be.
        """
        self._path = path
        self._read = read
        self._value = value
        self._look_seconds = look_seconds
        self._looking = threading.Lock()
        self._looked_at = float("-inf")
        self._stamp: Stamp | None = _UNREAD
        self._trouble: tuple[Stamp | None, str] | None = None

    def value(self) -> _Said:
        """Return what the file says; whoever finds the last look too old looks, and the others wait for it."""
        with self._looking:
            now = time.monotonic()
            if now - self._looked_at >= self._look_seconds:
                self._looked_at = now
                self._look()
            return self._value

    def _look(self) -> None:
        """Read the file if it has changed; one that cannot be used changes nothing, and is looked at again."""
        seen: Stamp | None = _UNREAD
        try:
            seen = stamp(self._path)
            if seen != self._stamp:
                self._value, self._stamp = self._read(self._path), seen
            self._trouble = None
        except (OSError, ValueError, SceneryError) as error:
            self._complain((seen, str(error)))

    def _complain(self, trouble: tuple[Stamp | None, str]) -> None:
        """Log why the file cannot be used: once, until it changes."""
        if trouble != self._trouble:
            log.error("%s cannot be used, everything stays as it was: %s", self._path, trouble[1])
        self._trouble = trouble
