"""Batching: concurrent requests for a model, merged into one run of its graph.

The life of a call of :meth:`BatchingSession.run`:

1. On its caller's thread it becomes a task, or several if it is larger than one run may be. Its
   tasks join the queue of the calls that it can be merged with, and the caller waits.
2. A queue is cut into batches. A batch is due when it is full, or when its first task has waited
   long enough; queues with a due batch take turns.
3. A worker thread takes a batch, leaves out the tasks that nobody waits for any more, concatenates
   the others' inputs, runs the graph once, and hands each task its rows of the outputs.
4. If that run fails, its halves are run, and theirs, so that nobody gets another's error.
   (TensorFlow Serving fails them all.)
"""

from __future__ import annotations

from serving.batching.options import BatchingOptions
from serving.batching.session import BatchingSession, BatchObservation

__all__ = ["BatchObservation", "BatchingOptions", "BatchingSession"]
