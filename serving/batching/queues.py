"""What waits to be run: calls, their tasks, and the batches these are put in."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from scenery.wire.tensors import Array
from serving.batching.options import BatchingOptions
from serving.errors import ServingError

MAX_QUEUES = 100
"""How many kinds of calls may wait at a time."""


class PendingCall:
    """What a caller waits for: the answers to the pieces of its call, or the first error."""

    def __init__(self, pieces: int, deadline: float) -> None:
        self.deadline = deadline
        """On the clock of ``time.monotonic``, as all instants here; infinite without a timeout."""
        self._pieces = pieces
        self._changed = threading.Condition()
        self._answers: dict[int, list[Array]] = {}
        self._error: BaseException | None = None
        self._over = False

    def is_waiting(self, now: float) -> bool:
        """Return whether the caller has use for an answer."""
        return not self._over and now < self.deadline

    def answer(self, place: int, answer: list[Array]) -> None:
        """Hand over the answer to a piece."""
        with self._changed:
            self._answers[place] = answer
            self._changed.notify()

    def fail(self, error: BaseException) -> None:
        """Hand over a piece's error."""
        with self._changed:
            if self._error is None and not self._over:
                self._error = error
            self._changed.notify()

    def wait(self) -> list[list[Array]]:
        """Return the answers to all pieces, in order; raises the first error, or when time is over."""
        with self._changed:
            self._changed.wait_for(self._is_decided, remaining_seconds(self.deadline))
            self._over = True
            error, self._error = self._error, None
        try:
            if error is not None:
                raise error
            if len(self._answers) < self._pieces:
                raise ServingError("DEADLINE_EXCEEDED", "Timed out waiting for notification")
            return [self._answers[place] for place in range(self._pieces)]
        finally:
            del error  # its traceback knows this frame: in a cycle, the call's arrays would await the garbage collector

    def _is_decided(self) -> bool:
        return self._error is not None or len(self._answers) == self._pieces


@dataclass
class Task:
    """A call, or a piece of one, that runs in one batch."""

    call: PendingCall
    place: int
    """Of the piece in the call."""
    feeds: Mapping[str, Array]
    fetches: Sequence[str]
    rows: int
    enqueued: float = field(default_factory=time.monotonic)


@dataclass
class Batch:
    """Tasks to run as one."""

    due: float
    """When to run it, full or not."""
    tasks: list[Task] = field(default_factory=list)
    rows: int = 0

    def add(self, task: Task) -> None:
        """Put a task behind the others."""
        self.tasks.append(task)
        self.rows += task.rows


class Queues:
    """The batches that wait, in a queue for each kind of calls that can be merged.

    A queue lives as long as it has batches; the last of them is open to more tasks. Of the idle
    threads at least one wakes when the next batch is due: whoever takes a batch and leaves others
    behind wakes the next thread.
    """

    def __init__(self, options: BatchingOptions) -> None:
        self._max_rows = options.max_run_size
        self._max_batches = max(1, options.max_enqueued_batches)
        self._timeout_seconds = options.batch_timeout_seconds
        self._changed = threading.Condition()
        self._queues: dict[Hashable, deque[Batch]] = {}
        """The queue whose turn is next comes first."""
        self._closed = False

    def require_open(self) -> None:
        """Raise :class:`ServingError` once closed."""
        if self._closed:
            raise ServingError("UNAVAILABLE", "The batching session is closed")

    def put(self, key: Hashable, tasks: list[Task]) -> None:
        """Add the pieces of a call, all of them full but the last; raises :class:`ServingError` if full or closed."""
        with self._changed:
            self.require_open()
            queue = self._queues.get(key) or self._new_queue()
            if queue and queue[-1].rows + tasks[0].rows <= self._max_rows:
                queue[-1].add(tasks[0])
            elif len(queue) + len(tasks) <= self._max_batches:
                queue.extend(self._new_batch(task) for task in tasks)
                self._queues[key] = queue
            else:
                raise ServingError("UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full")
            self._changed.notify()

    def take(self) -> Batch | None:
        """Wait for a batch that is due; None if there will be none any more."""
        with self._changed:
            while self._queues or not self._closed:
                now = time.monotonic()
                due = {key: self._due(queue) for key, queue in self._queues.items()}
                key = next((key for key in due if due[key] <= now), None)
                if key is not None:
                    return self._take_from(key)
                self._changed.wait(remaining_seconds(min(due.values(), default=math.inf)))
            return None

    def count_tasks(self) -> int:
        """Return how many tasks wait."""
        with self._changed:
            return sum(len(batch.tasks) for queue in self._queues.values() for batch in queue)

    def close(self) -> None:
        """Accept no more; what waits is due at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _new_queue(self) -> deque[Batch]:
        """Return an empty queue; raises :class:`ServingError` if there are too many: callers choose the shapes."""
        if len(self._queues) >= MAX_QUEUES:
            self._forget_the_abandoned()
        if len(self._queues) >= MAX_QUEUES:
            raise ServingError("UNAVAILABLE", "Too many requests of different shapes wait to be batched")
        return deque()

    def _forget_the_abandoned(self) -> None:
        now = time.monotonic()
        for key, queue in list(self._queues.items()):
            if not any(task.call.is_waiting(now) for batch in queue for task in batch.tasks):
                del self._queues[key]

    def _new_batch(self, task: Task) -> Batch:
        batch = Batch(task.enqueued + self._timeout_seconds)
        batch.add(task)
        return batch

    def _due(self, queue: deque[Batch]) -> float:
        full = len(queue) > 1 or queue[0].rows == self._max_rows
        return -math.inf if full or self._closed else queue[0].due

    def _take_from(self, key: Hashable) -> Batch:
        queue = self._queues.pop(key)
        batch = queue.popleft()
        if queue:
            self._queues[key] = queue
        if self._queues:
            self._changed.notify()
        return batch


def remaining_seconds(deadline: float) -> float | None:
    """Return the seconds until an instant; None if that is longer than a thread can wait."""
    seconds = max(0.0, deadline - time.monotonic())
    return seconds if seconds < threading.TIMEOUT_MAX else None
