"""Load shedding: as many requests at a time as the model server can work on, and a short line behind them."""

from __future__ import annotations

import mmap
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from proxy.deadline import Deadline
from proxy.problems import DEADLINE_EXCEEDED, OVERLOADED, ProblemError, problem

PER_CORE: Final = 4
"""TensorFlow Serving itself takes 4 gRPC calls at a time for each core, unless told otherwise."""

PATIENCE_SECONDS: Final = 0.1
"""How long a request waits for a place: a burst is over by then, and an overload is not."""

LOOK_SECONDS: Final = 0.02
"""How often who waits looks for a place that another worker has left."""

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
        """Return the slot of a worker that begins."""
        return self._free.pop()

    def give_back(self, slot: int) -> None:
        """Free the slot of a worker that has ended, perhaps with requests in its hands."""
        self.in_flight[slot] = self.waiting[slot] = 0
        self._free.append(slot)


class Admission:
    """Counts the requests that the model server works on. Threads share it.

    Requests come in bursts, so half as many as it works on may wait for a moment. What comes on top is refused at
    once: a longer line would only make everybody wait as long as it is, once more comes than can be done.
    """

    def __init__(self, limit: int | None, threads: int, counts: SharedCounts | None = None, slot: int = 0) -> None:
        """Count for one worker.

        Parameters
        ----------
        limit
            Of all workers together; :func:`default_limit` if None.
        threads
            Of this worker. They never all wait for model servers, or in line.
        counts
            Of each worker; this one's are at ``slot``, and only this one writes there.
        """
        self._limit = limit or default_limit()
        self._most_waiting = self._limit // 2
        self._own_limit = max(1, threads - 1)
        self._counts = counts or SharedCounts(1)
        self._slot = slot
        self._counting = threading.Lock()
        self._line: deque[threading.Event] = deque()

    @contextmanager
    def admitted(self, deadline: Deadline) -> Iterator[None]:
        """Be one of those in flight, perhaps after a moment.

        Raises
        ------
        ProblemError
            If there are enough, or the deadline passes first.
        """
        turn = threading.Event()
        with self._counting:
            self.check()
            self._line.append(turn)
            self._counts.waiting[self._slot] += 1
            self._let_in()
        self._wait(turn, deadline)
        try:
            yield
        finally:
            with self._counting:
                self._counts.in_flight[self._slot] -= 1
                self._let_in()

    def check(self) -> None:
        """Raise if :meth:`admitted` would not even let a request wait; a look before a photo is read."""
        counts = self._counts
        own = counts.in_flight[self._slot] + counts.waiting[self._slot]
        if own >= self._own_limit or (self._is_full() and sum(counts.waiting) >= self._most_waiting):
            raise _enough()

    def _is_full(self) -> bool:
        return sum(self._counts.in_flight) >= self._limit

    def _let_in(self) -> None:
        """Give the places that are free to who waits longest in this worker."""
        while self._line and not self._is_full():
            self._counts.waiting[self._slot] -= 1
            self._counts.in_flight[self._slot] += 1
            self._line.popleft().set()

    def _wait(self, turn: threading.Event, deadline: Deadline) -> None:
        ends = Deadline(min(deadline.at, Deadline.after(PATIENCE_SECONDS).at))
        while not turn.wait(min(LOOK_SECONDS, ends.seconds_left())):
            with self._counting:
                self._let_in()
                if turn.is_set() or ends.seconds_left():
                    continue
                self._line.remove(turn)
                self._counts.waiting[self._slot] -= 1
            raise _enough() if deadline.seconds_left() else _too_late()


def _enough() -> ProblemError:
    return problem(OVERLOADED, "As many requests as can be are being answered. Try again in a moment.")


def _too_late() -> ProblemError:
    return problem(DEADLINE_EXCEEDED, "The time of the request passed while others were answered. Give it more.")
