"""Load shedding: as many requests at a time as the model server can work on, and a short queue behind them."""

from __future__ import annotations

import mmap
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from proxy.deadline import Deadline
from proxy.problems import OVERLOADED, ProblemError, problem

PER_CORE: Final = 4
"""TensorFlow Serving itself takes 4 gRPC calls at a time for each core, unless told otherwise."""

PATIENCE_SECONDS: Final = 0.1
"""How long a request waits for a place: a burst is over by then, and an overload is not."""

_INT_BYTES = 8


def default_limit() -> int:
    """Return how many requests a model server on this machine works on at a time."""
    return PER_CORE * (os.cpu_count() or 1)


def _shared_integers(count: int) -> memoryview[int]:
    return memoryview(mmap.mmap(-1, count * _INT_BYTES)).cast("q")


class SharedCounts:
    """The requests of each worker, in memory that they share; made before they are forked."""

    def __init__(self, workers: int) -> None:
        self.in_flight = _shared_integers(workers)
        """With the model server."""
        self.waiting = _shared_integers(workers)
        """For a place there."""
        self._free = list(range(workers))

    def take(self) -> int:
        """Return the place of a worker that begins."""
        return self._free.pop()

    def give_back(self, place: int) -> None:
        """Free the place of a worker that has ended, perhaps with requests in its hands."""
        self.in_flight[place] = self.waiting[place] = 0
        self._free.append(place)


class Admission:
    """Counts the requests that the model server works on. Threads share it.

    Requests come in bursts, so half as many as it works on may wait for a moment. What comes on top is refused at
    once: a longer queue would only make everybody wait as long as it is, once more comes than can be done.
    """

    def __init__(self, limit: int | None, threads: int, counts: SharedCounts | None = None, place: int = 0) -> None:
        """Count for one worker.

        Parameters
        ----------
        limit
            Of all workers together; :func:`default_limit` if None.
        threads
            Of this worker. One of them is always left to turn requests away: where all are busy, they queue.
        counts
            Of each worker; this one's are at ``place``, and only this one writes there.
        """
        self._limit = limit or default_limit()
        self._most_waiting = self._limit // 2
        self._own_limit = max(1, threads - 1)
        self._counts = counts or SharedCounts(1)
        self._place = place
        self._counting = threading.Lock()
        self._line: deque[threading.Event] = deque()

    @contextmanager
    def admitted(self, deadline: Deadline) -> Iterator[None]:
        """Be one of those in flight, perhaps after a moment; raises :class:`ProblemError` if there are enough."""
        turn = self._enter()
        if turn is not None:
            turn.wait(min(PATIENCE_SECONDS, deadline.seconds_left()))
            self._end_wait(turn)
        try:
            yield
        finally:
            self._leave()

    def check(self) -> None:
        """Raise if :meth:`admitted` would not even let a request wait; a look before a photo is read."""
        counts = self._counts
        own = counts.in_flight[self._place] + counts.waiting[self._place]
        if own >= self._own_limit or (self._is_full() and sum(counts.waiting) >= self._most_waiting):
            raise _enough()

    def _is_full(self) -> bool:
        return sum(self._counts.in_flight) >= self._limit

    def _enter(self) -> threading.Event | None:
        """Take a place, or one in the line, where a turn is awaited."""
        with self._counting:
            self.check()
            if not self._line and not self._is_full():
                self._counts.in_flight[self._place] += 1
                return None
            turn = threading.Event()
            self._line.append(turn)
            self._counts.waiting[self._place] += 1
            return turn

    def _end_wait(self, turn: threading.Event) -> None:
        with self._counting:
            if turn.is_set():
                return
            self._line.remove(turn)
            self._counts.waiting[self._place] -= 1
            if self._is_full():
                raise _enough()
            self._counts.in_flight[self._place] += 1  # one that another worker has left

    def _leave(self) -> None:
        """Give the place to who waits longest in this worker, or back."""
        with self._counting:
            if self._line:
                self._counts.waiting[self._place] -= 1
                self._line.popleft().set()
            else:
                self._counts.in_flight[self._place] -= 1


def _enough() -> ProblemError:
    return problem(OVERLOADED, "As many requests as can be are being answered. Try again in a moment.")
