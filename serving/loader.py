"""The loader: brings one version into memory, ready to answer its first request fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter

from serving.batching import BatchingOptions, BatchingSession, BatchObservation
from serving.errors import ServingError, not_found
from serving.metrics import ServerMetrics
from serving.saved_model import SavedModel, SessionOptions
from serving.warmup import warm_up

_OPERATION = "BatchingSession"
_THREAD_POOL = "model_server_batch_threads"


@dataclass(frozen=True)
class LoaderOptions:
    """How versions are loaded."""

    session: SessionOptions = field(default_factory=SessionOptions)
    batching: BatchingOptions | None = None
    """None: every request is a run of its own."""
    warm_up: bool = True
    warmup_iterations: int = 1
    metrics: ServerMetrics = field(default_factory=ServerMetrics)


class Loader:
    """Loads the SavedModel in a version's folder. Used by one thread, once."""

    def __init__(self, path: Path, options: LoaderOptions | None = None) -> None:
        self.path = path
        self._options = options or LoaderOptions()

    def load(self) -> SavedModel:
        """Load and warm up.

        Raises
        ------
        ServingError
            If the folder holds no complete SavedModel, or a warmup request fails.
        """
        self._require_files()
        if self._options.batching is not None:
            self._options.batching.check()
        model = SavedModel(self.path, self._options.session)
        try:
            if self._options.batching is not None:
                observe = partial(_observe_batch, self._options.metrics, self.path.parent.name)
                model.runner = BatchingSession(model.runner, self._options.batching, observe)
            if self._options.warm_up:
                self._warm_up(model)
        except BaseException:
            model.close()
            raise
        return model

    def _require_files(self) -> None:
        """Refuse a folder without a SavedModel, in TF Serving's words."""
        if not (self.path / "saved_model.pb").is_file() and not (self.path / "saved_model.pbtxt").is_file():
            raise not_found(
                "Specified file path does not appear to contain a SavedModel bundle "
                f"(should have a file called `saved_model.pb`)\nSpecified file path: {self.path}"
            )

    def _warm_up(self, model: SavedModel) -> None:
        started, metrics, path = perf_counter(), self._options.metrics, str(self.path)
        status, count = "OK", 0
        try:
            count = warm_up(model, self.path, self._options.warmup_iterations)
        except ServingError as error:
            status = str(error)
            raise
        finally:
            metrics.warmup_latency.observe((perf_counter() - started) * 1e6, path, status)
            metrics.warmup_records.add(path, status, amount=count)


def _observe_batch(metrics: ServerMetrics, model_name: str, batch: BatchObservation) -> None:
    metrics.wrapped_run_count.add()
    metrics.processed_batch_size.add(model_name, _OPERATION, str(batch.padded_size))
    metrics.padding_size.observe(batch.padded_size - batch.batch_size, model_name, _OPERATION)
    for seconds in batch.queueing_seconds:
        metrics.queuing_latency.observe(seconds * 1e6, _THREAD_POOL)
