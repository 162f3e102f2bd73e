"""Load shedding: as many requests at a time as the model server can work on, and no queue behind them."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from proxy.problems import OVERLOADED, problem

PER_CORE: Final = 4
"""TensorFlow Serving itself takes 4 gRPC calls at a time for each core, unless told otherwise."""

_INT_BYTES = 8


def default_limit() -> int:
    """Return how many requests a model server on this machine works on at a time."""
    return PER_CORE * (os.cpu_count() or 1)


class SharedCounts:
    """The requests in flight of each worker, in memory that they share; made before they are forked."""

    def __init__(self, workers: int) -> None:
        self.counts: memoryview[int] = memoryview(mmap.mmap(-1, workers * _INT_BYTES)).cast("q")
        self._free = list(range(workers))

    def take(self) -> int:
        """Return the place of a worker that begins."""
        return self._free.pop()

    def give_back(self, place: int) -> None:
        """Free the place of a worker that has ended, perhaps with requests in its hands."""
        self.counts[place] = 0
        self._free.append(place)


class Admission:
    """Counts the requests that the model server works on. Threads share it.

    What comes on top is refused at once: a queue would only make everybody wait as long as it is,
    once more comes than can be done.
    """

    def __init__(self, limit: int | None, threads: int, counts: memoryview[int] | None = None, place: int = 0) -> None:
        """Count for one worker.

        Parameters
        ----------
        limit
            Of all workers together; :func:`default_limit` if None.
        threads
            Of this worker. One of them is always left to turn requests away: where all are busy, they queue.
        counts
            Of each worker; this one's is at ``place``, and only this one writes there.
        """
        self._limit = limit or default_limit()
        self._own_limit = max(1, threads - 1)
        self._counts = SharedCounts(1).counts if counts is None else counts
        self._place = place
        self._counting = threading.Lock()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Be one of those in flight; raises :class:`ProblemError` if there are enough."""
        with self._counting:
            self.check()
            self._counts[self._place] += 1
        try:
            yield
        finally:
            with self._counting:
                self._counts[self._place] -= 1

    def check(self) -> None:
        """Raise what :meth:`admitted` would raise now; a look before a photo is read."""
        if self._counts[self._place] >= self._own_limit or sum(self._counts) >= self._limit:
            raise problem(OVERLOADED, "As many requests as can be are being answered. Try again in a moment.")
