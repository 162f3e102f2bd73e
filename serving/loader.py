"""The loader: brings one version into memory, ready to answer its first request fast."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter

from scenery import wire
from scenery.lite import has_lite
from serving.batching import BatchingOptions, BatchingSession, BatchObservation
from serving.errors import ServingError, not_found
from serving.lite import LiteSession
from serving.metrics import ServerMetrics
from serving.saved_model import SavedModel, SessionOptions
from serving.text_proto import read_text_proto
from serving.warmup import warm_up

log = logging.getLogger(__name__)

_BATCHING_FILE = "batching_params.pbtxt"
_OPERATION = "BatchingSession"
_THREAD_POOL = "model_server_batch_threads"


@dataclass(frozen=True)
class LoaderOptions:
    """How versions are loaded."""

    session: SessionOptions = field(default_factory=SessionOptions)
    batching: BatchingOptions | None = None
    """None: every request is a run of its own."""
    batching_by_model: bool = False
    """Whether only those versions are batched that bring ``batching_params.pbtxt``, and by these parameters."""
    lite_interpreters: int | None = None
    """How many calls of a version's ``model.tflite`` run at a time; None: the SavedModel alone is served."""
    warm_up: bool = True
    warmup_iterations: int = 1
    metrics: ServerMetrics = field(default_factory=ServerMetrics)


class Loader:
    """Loads the SavedModel in a version's folder. Used by one thread at a time; a load may be tried again."""

    def __init__(self, model_name: str, path: Path, options: LoaderOptions | None = None) -> None:
        self.model_name = model_name
        self.path = path
        self._options = options or LoaderOptions()

    def load(self) -> SavedModel:
        """Load and warm up.

        Raises
        ------
        ServingError
            If the folder holds no complete SavedModel or a ``model.tflite`` that is not of it, or a warmup
            request fails.
        """
        started, status = perf_counter(), "OK"
        try:
            return self._load()
        except ServingError as error:
            status = error.code
            raise
        finally:
            self._options.metrics.load_seconds.observe(perf_counter() - started, self.model_name, status)

    def _load(self) -> SavedModel:
        self._require_files()
        batching = self._batching()
        model = SavedModel(self.path, self._options.session)
        try:
            interpreters = self._options.lite_interpreters
            if interpreters is not None and has_lite(self.path):
                model.runner = LiteSession(model.runner, self.path, self._options.session.tags, interpreters)
            elif interpreters is not None:
                log.info("%s has no model.tflite: TensorFlow computes all of it", self.path)
            if batching is not None:
                observe = partial(_observe_batch, self._options.metrics, self.model_name)
                model.runner = BatchingSession(model.runner, batching, observe)
            if self._options.warm_up:
                self._warm_up(model)
        except BaseException:
            model.close()
            raise
        return model

    def _batching(self) -> BatchingOptions | None:
        """Return how requests are merged, if they are; raises :class:`ServingError` if the parameters make no sense."""
        options = self._options.batching
        if options is not None and self._options.batching_by_model:
            own = self.path / _BATCHING_FILE
            if not own.is_file():
                return None
            given = BatchingOptions.from_proto(read_text_proto(own, wire.BatchingParameters))
            options = replace(given, num_batch_threads=options.num_batch_threads)
        if options is not None:
            options.check()
        return options

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
