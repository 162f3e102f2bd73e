"""Photos in a line that has an end, for a thread that looks at them once they are answered."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

MAX_PHOTOS = 64
MAX_BYTES = 64 * 2**20
"""What may wait, in each worker."""


class HasPhoto(Protocol):
    """What can wait."""

    @property
    def photo(self) -> bytes:
        """The encoded photo, which takes the room."""


T = TypeVar("T", bound=HasPhoto)


class Waiting(Generic[T]):
    """Photos in a line that has an end: so many, and so many bytes. Threads share it."""

    def __init__(self, max_photos: int = MAX_PHOTOS, max_bytes: int = MAX_BYTES) -> None:
        self._max_photos = max_photos
        self._max_bytes = max_bytes
        self._line: deque[T] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    def put(self, waiter: T) -> bool:
        """Add a photo to the end, if there is room; tells whether there was. Never waits for room."""
        with self._changed:
            size = len(waiter.photo)
            if len(self._line) >= self._max_photos or self._bytes + size > self._max_bytes:
                return False
            self._line.append(waiter)
            self._bytes += size
            self._changed.notify()
            return True

    def take(self) -> T:
        """Remove the first photo; waits until there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self._line)
            waiter = self._line.popleft()
            self._bytes -= len(waiter.photo)
            return waiter
