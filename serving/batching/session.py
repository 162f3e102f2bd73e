"""A session that merges the runs of concurrent callers."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scenery.wire.tensors import Array
from serving.batching.merging import batch_rows, concatenate, cut_into_pieces, merge_key, split
from serving.batching.options import BatchingOptions
from serving.batching.queues import PendingCall, Queues, Task, remaining_seconds
from serving.errors import ServingError, invalid_argument
from serving.saved_model import Runner

log = logging.getLogger(__name__)


CLOSE_SECONDS = 10.0
"""How long a session that is closed waits for a run that nobody waits for any more."""

_EVERYONES = ("DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE")


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
        self._queues = Queues(options)
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
        rows = batch_rows(feeds)
        if rows > self._options.max_batch_size:
            raise invalid_argument(
                f"Task size {rows} is larger than maximum input batch size {self._options.max_batch_size}"
            )
        if rows == 0:
            self._queues.require_open()
            return self._runner.run(feeds, fetches, timeout_seconds)
        deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
        pieces = cut_into_pieces(feeds, rows, self._options.max_run_size)
        call = PendingCall(len(pieces), deadline)
        tasks = [Task(call, place, piece, fetches, size) for place, (piece, size) in enumerate(pieces)]
        self._queues.put(merge_key(feeds, fetches, self._options.pad_variable_length_inputs), tasks)
        answers = call.wait()
        return answers[0] if len(answers) == 1 else [concatenate(parts) for parts in zip(*answers, strict=True)]

    def enqueued_tasks(self) -> int:
        """Return how many calls, or pieces of large ones, wait for a thread or for their batch to fill."""
        return self._queues.count_tasks()

    def close(self) -> None:
        """Refuse new calls, finish those that wait, end the threads and close the wrapped runner.

        No call without rows may be running, for the wrapped runner's sake.
        """
        self._queues.close()
        deadline = time.monotonic() + CLOSE_SECONDS
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        if any(worker.is_alive() for worker in self._workers):
            log.warning("A batch has run for %g s since its session was closed; its memory is not freed", CLOSE_SECONDS)
        else:
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

    def _answer(self, tasks: list[Task]) -> None:
        """Give every task its answer: from one run, or, if that fails, from smaller ones."""
        try:
            answers = self._run_merged(tasks)
        except BaseException as error:  # a worker outlives whatever the runner raises
            if len(tasks) > 1 and not _is_everyones(error):
                self._answer_by_halves(tasks)
                return
            for task in tasks:
                task.call.fail(error)
        else:
            for task, answer in zip(tasks, answers, strict=True):
                task.call.answer(task.place, answer)

    def _answer_by_halves(self, tasks: list[Task]) -> None:
        """Run the two halves of a batch that failed: a task that spoils it is found in a few runs."""
        for half in (tasks[: len(tasks) // 2], tasks[len(tasks) // 2 :]):
            waiting = [task for task in half if task.call.is_waiting(time.monotonic())]
            if waiting:
                self._answer(waiting)

    def _run_merged(self, tasks: list[Task]) -> list[list[Array]]:
        """Run tasks as one; returns the outputs of each."""
        rows = sum(task.rows for task in tasks)
        padded_rows = self._options.padded_size(rows)
        feeds = {name: concatenate([task.feeds[name] for task in tasks], padded_rows - rows) for name in tasks[0].feeds}
        timeout_seconds = remaining_seconds(max(task.call.deadline for task in tasks))
        outputs = self._runner.run(feeds, tasks[0].fetches, timeout_seconds)
        return split(outputs, [task.rows for task in tasks], padded_rows)

    def _report(self, tasks: list[Task], began: float) -> None:
        if self._observe is None:
            return
        rows = sum(task.rows for task in tasks)
        waits = [began - task.enqueued for task in tasks]
        try:
            self._observe(BatchObservation(rows, self._options.padded_size(rows), waits))
        except Exception:
            log.exception("The observer of batches failed")


def _is_everyones(error: BaseException) -> bool:
    """Return whether an error is no one task's: running again would not help."""
    return isinstance(error, ServingError) and error.code in _EVERYONES
