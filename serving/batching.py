"""Batching: concurrent requests for a model, merged into one run of its graph.

The life of a call of :meth:`BatchingSession.run`:

1. On its caller's thread it becomes a task, or several if it is larger than one run may be. Its
   tasks join the queue of the calls that it can be merged with, and the caller waits.
2. A queue is cut into batches. A batch is due when it is full, or when its first task has waited
   long enough; queues with a due batch take turns.
3. A worker thread takes a batch, leaves out the tasks that nobody waits for any more, concatenates
   the others' inputs, runs the graph once, and hands each task its rows of the outputs.
4. If that run fails, each of its tasks is run by itself, so that nobody gets another's error.
   (TensorFlow Serving fails them all.)
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from scenery import wire
from scenery.wire.tensors import Array
from serving.errors import ServingError, invalid_argument
from serving.saved_model import Runner

log = logging.getLogger(__name__)

_WRAPPED = (
    *("max_batch_size", "max_enqueued_batches", "num_batch_threads"),
    *("enable_large_batch_splitting", "max_execution_batch_size"),
)
"""Parameters that may be absent, which is not the same as zero."""


@dataclass(frozen=True)
class BatchingOptions:
    """How runs are merged; the names and defaults of TensorFlow Serving's ``BatchingParameters``."""

    max_batch_size: int = 1000
    """The most rows of one call, and, without splitting, of one run."""
    batch_timeout_seconds: float = 0.0
    """How long a batch that is not full waits for more tasks; 0: no longer than until a thread is free."""
    max_enqueued_batches: int = 10
    """How many batches may wait in a queue before calls are refused; 0 counts as 1."""
    num_batch_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    allowed_batch_sizes: tuple[int, ...] = ()
    """To which sizes runs are padded, ascending; empty: none is padded."""
    pad_variable_length_inputs: bool = False
    """Merge calls whose dimensions other than the 0th differ; the shorter are padded with zeros at the end."""
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0
    """With splitting, the most rows of one run; 0: ``max_batch_size``."""

    @classmethod
    def from_proto(cls, parameters: wire.BatchingParameters) -> BatchingOptions:
        """Read the message; what it leaves out keeps its default."""
        given: dict[str, Any] = {
            name: getattr(parameters, name).value for name in _WRAPPED if parameters.HasField(name)
        }
        return cls(
            **given,
            batch_timeout_seconds=parameters.batch_timeout_micros.value / 1e6,
            allowed_batch_sizes=tuple(parameters.allowed_batch_sizes),
            pad_variable_length_inputs=parameters.pad_variable_length_inputs,
        )

    @property
    def max_run_size(self) -> int:
        """The most rows of one run."""
        return (self.enable_large_batch_splitting and self.max_execution_batch_size) or self.max_batch_size

    def padded_size(self, rows: int) -> int:
        """Return how many rows are run for ``rows`` rows of tasks."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)

    def check(self) -> None:
        """Raise :class:`ServingError` if the options make no sense."""
        positive = {name: getattr(self, name) for name in ("max_batch_size", "num_batch_threads")}
        natural = {name: getattr(self, name) for name in ("max_enqueued_batches", "max_execution_batch_size")}
        natural["batch_timeout_micros"] = round(self.batch_timeout_seconds * 1e6)
        for numbers, least, kind in ((positive, 1, "positive"), (natural, 0, "non-negative")):
            for name, number in numbers.items():
                if number < least:
                    raise invalid_argument(f"{name} must be {kind}; was {number}")
        if self.max_run_size > self.max_batch_size:
            raise invalid_argument(
                "When enable_large_batch_splitting is true, max_batch_size must be greater than or equal to "
                f"max_execution_batch_size; were {self.max_batch_size} and {self.max_execution_batch_size}"
            )
        self._check_allowed_sizes()

    def _check_allowed_sizes(self) -> None:
        sizes = self.allowed_batch_sizes
        if any(size >= following for size, following in pairwise(sizes)):
            raise invalid_argument("allowed_batch_sizes entries must be monotonically increasing")
        if sizes and sizes[-1] != self.max_run_size:
            limit = "max_execution_batch_size" if self.enable_large_batch_splitting else "max_batch_size"
            raise invalid_argument(
                f"Last entry in allowed_batch_sizes must match {limit}; "
                f"last entry was {sizes[-1]}; expected {self.max_run_size}"
            )


@dataclass(frozen=True)
class BatchObservation:
    """One merged run, for those who measure."""

    batch_size: int
    """Rows of its tasks."""
    padded_size: int
    """Rows run."""
    queueing_seconds: list[float]
    """How long each of its tasks waited before the run began."""


class BatchingSession:
    """A :class:`Runner` that merges concurrent runs of another. Runs may come from many threads."""

    def __init__(
        self,
        runner: Runner,
        options: BatchingOptions,
        observe: Callable[[BatchObservation], None] | None = None,
    ) -> None:
        """Start the worker threads.

        ``runner`` is this session's own from now on, ``options`` have passed their ``check``.
        ``observe`` is called on a worker thread, once for each batch, after its tasks have their
        answers; what it raises is logged.
        """
        self._runner = runner
        self._options = options
        self._observe = observe
        self._queues = _Queues(options)
        self._workers = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(options.num_batch_threads)
        ]
        for worker in self._workers:
            worker.start()

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_seconds: float | None = None
    ) -> list[Array]:
        """Run the graph, together with other callers' feeds of the same names, types and shapes.

        See :meth:`serving.runtime.session.Session.run`; here every feed and every fetch has a row
        for each row of the batch. A call without feeds, or of 0 rows, is not merged.

        Raises
        ------
        ServingError
            ``INVALID_ARGUMENT`` if the feeds are no batch or too large a one, ``FAILED_PRECONDITION``
            if a fetch is no batch, ``UNAVAILABLE`` if the queue is full or the session closed,
            ``DEADLINE_EXCEEDED`` after the timeout; else whatever the wrapped runner raises.
        """
        rows = _rows(feeds)
        if rows > self._options.max_batch_size:
            raise invalid_argument(
                f"Task size {rows} is larger than maximum input batch size {self._options.max_batch_size}"
            )
        if rows == 0:
            self._queues.require_open()
            return self._runner.run(feeds, fetches, timeout_seconds)
        deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
        pieces = _pieces(feeds, rows, self._options.max_run_size)
        call = _Call(len(pieces), deadline)
        tasks = [_Task(call, place, piece, fetches, size) for place, (piece, size) in enumerate(pieces)]
        self._queues.put(_merge_key(feeds, fetches, self._options.pad_variable_length_inputs), tasks)
        answers = call.wait()
        return answers[0] if len(answers) == 1 else [_concatenate(parts) for parts in zip(*answers, strict=True)]

    def enqueued_tasks(self) -> int:
        """Return how many calls, or pieces of large ones, wait for a thread or for their batch to fill."""
        return self._queues.count_tasks()

    def close(self) -> None:
        """Refuse new calls, finish those that wait, end the threads and close the wrapped runner.

        No call without rows may be running, for the wrapped runner's sake.
        """
        self._queues.close()
        for worker in self._workers:
            worker.join()
        self._runner.close()

    def _work(self) -> None:
        while self._run_next_batch():
            pass

    def _run_next_batch(self) -> bool:
        """Wait for a batch and run it; False if there will be none any more."""
        batch = self._queues.take()
        if batch is None:
            return False
        began = time.monotonic()
        tasks = [task for task in batch.tasks if task.call.is_waiting(began)]
        if tasks:
            self._answer(tasks)
            self._report(tasks, began)
        return True

    def _answer(self, tasks: list[_Task]) -> None:
        """Give every task its answer: from one run, or, if that fails, each from its own."""
        try:
            answers = self._run_merged(tasks)
        except BaseException as error:  # a worker outlives whatever the runner raises
            if len(tasks) == 1:
                tasks[0].call.fail(error)
                return
            log.info("A run of %d tasks failed, so each is run by itself: %s", len(tasks), error)
        else:
            for task, answer in zip(tasks, answers, strict=True):
                task.call.answer(task.place, answer)
            return
        for task in tasks:
            if task.call.is_waiting(time.monotonic()):
                self._answer([task])

    def _run_merged(self, tasks: list[_Task]) -> list[list[Array]]:
        """Run tasks as one; returns the outputs of each."""
        rows = sum(task.rows for task in tasks)
        padded_rows = self._options.padded_size(rows)
        feeds = {
            name: _concatenate([task.feeds[name] for task in tasks], padded_rows - rows) for name in tasks[0].feeds
        }
        timeout_seconds = _remaining(max(task.call.deadline for task in tasks))
        outputs = self._runner.run(feeds, tasks[0].fetches, timeout_seconds)
        return _split(outputs, [task.rows for task in tasks], padded_rows)

    def _report(self, tasks: list[_Task], began: float) -> None:
        if self._observe is None:
            return
        rows = sum(task.rows for task in tasks)
        waits = [began - task.enqueued for task in tasks]
        try:
            self._observe(BatchObservation(rows, self._options.padded_size(rows), waits))
        except Exception:
            log.exception("The observer of batches failed")


class _Call:
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
            self._changed.wait_for(self._is_decided, _remaining(self.deadline))
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
class _Task:
    """A call, or a piece of one, that runs in one batch."""

    call: _Call
    place: int
    """Of the piece in the call."""
    feeds: Mapping[str, Array]
    fetches: Sequence[str]
    rows: int
    enqueued: float = field(default_factory=time.monotonic)


@dataclass
class _Batch:
    """Tasks to run as one."""

    due: float
    """When to run it, full or not."""
    tasks: list[_Task] = field(default_factory=list)
    rows: int = 0

    def add(self, task: _Task) -> None:
        self.tasks.append(task)
        self.rows += task.rows


class _Queues:
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
        self._queues: dict[Hashable, deque[_Batch]] = {}
        """The queue whose turn is next comes first."""
        self._closed = False

    def require_open(self) -> None:
        """Raise :class:`ServingError` once closed."""
        if self._closed:
            raise ServingError("UNAVAILABLE", "The batching session is closed")

    def put(self, key: Hashable, tasks: list[_Task]) -> None:
        """Add the pieces of a call, all of them full but the last; raises :class:`ServingError` if full or closed."""
        with self._changed:
            self.require_open()
            queue = self._queues.get(key, deque())
            if queue and queue[-1].rows + tasks[0].rows <= self._max_rows:
                queue[-1].add(tasks[0])
            elif len(queue) + len(tasks) <= self._max_batches:
                queue.extend(self._new_batch(task) for task in tasks)
                self._queues[key] = queue
            else:
                raise ServingError("UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full")
            self._changed.notify()

    def take(self) -> _Batch | None:
        """Wait for a batch that is due; None if there will be none any more."""
        with self._changed:
            while self._queues or not self._closed:
                now = time.monotonic()
                due = {key: self._due(queue) for key, queue in self._queues.items()}
                key = next((key for key in due if due[key] <= now), None)
                if key is not None:
                    return self._take_from(key)
                self._changed.wait(_remaining(min(due.values(), default=math.inf)))
            return None

    def count_tasks(self) -> int:
        with self._changed:
            return sum(len(batch.tasks) for queue in self._queues.values() for batch in queue)

    def close(self) -> None:
        """Accept no more; what waits is due at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _new_batch(self, task: _Task) -> _Batch:
        batch = _Batch(task.enqueued + self._timeout_seconds)
        batch.add(task)
        return batch

    def _due(self, queue: deque[_Batch]) -> float:
        full = len(queue) > 1 or queue[0].rows == self._max_rows
        return -math.inf if full or self._closed else queue[0].due

    def _take_from(self, key: Hashable) -> _Batch:
        queue = self._queues.pop(key)
        batch = queue.popleft()
        if queue:
            self._queues[key] = queue
        if self._queues:
            self._changed.notify()
        return batch


def _remaining(deadline: float) -> float | None:
    """Return the seconds until an instant; None if that is longer than a thread can wait."""
    seconds = max(0.0, deadline - time.monotonic())
    return seconds if seconds < threading.TIMEOUT_MAX else None


def _merge_key(feeds: Mapping[str, Array], fetches: Sequence[str], any_length: bool) -> Hashable:
    """Return what calls must agree in to be merged."""
    kinds = ((name, array.dtype, array.ndim if any_length else array.shape[1:]) for name, array in feeds.items())
    return frozenset(kinds), tuple(fetches)


def _rows(feeds: Mapping[str, Array]) -> int:
    """Return the 0th dimension that all feeds share, 0 if there are none; raises :class:`ServingError` otherwise."""
    if any(array.ndim == 0 for array in feeds.values()):
        raise invalid_argument("Batching Run() input tensors must have at least one dimension")
    sizes = {len(array) for array in feeds.values()}
    if len(sizes) > 1:
        raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop() if sizes else 0


def _pieces(feeds: Mapping[str, Array], rows: int, limit: int) -> list[tuple[Mapping[str, Array], int]]:
    """Cut feeds into pieces of ``limit`` rows, the last of what is left; returns each with its number of rows."""
    if rows <= limit:
        return [(feeds, rows)]
    return [
        ({name: array[begin : begin + limit] for name, array in feeds.items()}, min(limit, rows - begin))
        for begin in range(0, rows, limit)
    ]


def _concatenate(arrays: Sequence[Array], repeats: int = 0) -> Array:
    """Join arrays along the 0th dimension, the last row ``repeats`` times more.

    Where their other dimensions differ, each is padded at the end to the longest: with zeros,
    strings with empty ones.
    """
    if repeats:
        arrays = [*arrays, np.repeat(arrays[-1][-1:], repeats, axis=0)]
    if len(arrays) == 1:
        return arrays[0]
    shapes = [array.shape[1:] for array in arrays]
    if len(set(shapes)) == 1:
        return np.concatenate(arrays)
    longest = [max(extents) for extents in zip(*shapes, strict=True)]
    joined: Array = np.zeros((sum(map(len, arrays)), *longest), arrays[0].dtype)
    if joined.dtype.hasobject:
        joined.fill(b"")
    for array, end in zip(arrays, accumulate(map(len, arrays)), strict=True):
        place = (slice(end - len(array), end), *map(slice, array.shape[1:]))
        joined[place] = array
    return joined


def _split(outputs: list[Array], sizes: list[int], padded_rows: int) -> list[list[Array]]:
    """Cut outputs of ``padded_rows`` rows into those of each task; raises :class:`ServingError` if they have others."""
    if any(output.ndim == 0 for output in outputs):
        raise ServingError("FAILED_PRECONDITION", "Batched output tensor has 0 dimensions")
    if any(len(output) != padded_rows for output in outputs):
        raise ServingError(
            "FAILED_PRECONDITION",
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        )
    ends = accumulate(sizes)
    return [[output[end - size : end] for output in outputs] for size, end in zip(sizes, ends, strict=True)]
