"""One run: photos are found, cut into parts, scored by a pipeline, and counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from bulk import storage
from bulk.found import find_photos
from bulk.handler import PartHandler
from bulk.output import Output
from bulk.patience import patiently
from bulk.pipeline import build
from bulk.plan import Plan, as_lines, make_plan
from bulk.progress import Progress, shown
from bulk.runner import make_pipeline, meant_by
from bulk.scorer import Identity, Source
from bulk.tally import Tally
from scenery.errors import ScoringError

_LOOK_SECONDS = 0.5
"""How often the bar moves where the parts lie on this disk; those of a bucket cost more to list."""
_LOOK_AFAR_SECONDS = 10.0
_LOOK_SHARE = 0.05
"""Of the time: looks are rarer where there are many parts."""


@dataclass(frozen=True)
class Run:
    """What a run is to do: the command's options."""

    source: Source
    output: Output
    runner: str
    options: PipelineOptions
    part_photos: int
    jobs: int
    patience_seconds: float
    retry_failed: bool
    replace: bool
    shows_progress: bool

    def score(self, arguments: Sequence[str]) -> Tally:
        """Score the photos that are named and have no scores yet.

        Raises
        ------
        SceneryError
            If that cannot begin, or not go on.
        """
        pipeline = make_pipeline(self.runner, self.options)
        found = find_photos(arguments, apart_from=(self.output.scores, self.output.failed))
        identity = patiently(self.source.identity, self.patience_seconds)
        self.output.make()
        with self.output.alone():
            if self.replace:  # scores are not given up for a model that gives none
                patiently(self.source.open, self.patience_seconds)
            self.output.begin(identity, self.replace)
            try:
                return self._score(pipeline, found, identity)
            except ScoringError as error:
                if not self.replace:
                    raise
                raise ScoringError(f"{error} Go on without --replace, which would begin anew.") from error

    def _score(self, pipeline: beam.Pipeline, found: Sequence[str], identity: Identity) -> Tally:
        plan = make_plan(found, self.output, self.part_photos, self.retry_failed)
        begun = time.monotonic()
        if plan.parts:
            self._work(pipeline, plan, PartHandler(self.source, identity, self.jobs, self.patience_seconds))
        return self._tally(plan, identity.version, time.monotonic() - begun)

    def _work(self, pipeline: beam.Pipeline, plan: Plan, handler: PartHandler) -> None:
        path = self.output.write_plan(as_lines(plan.parts))
        build(pipeline, path, handler, self.output, self.patience_seconds)
        work = _Work(pipeline)
        look_seconds = _LOOK_SECONDS if storage.is_local(self.output.scores) else _LOOK_AFAR_SECONDS
        with shown(Progress(plan.sizes, self.output), self.shows_progress) as update:
            wait_seconds = look_seconds
            while work.is_under_way(wait_seconds):
                begun = time.monotonic()
                update()
                wait_seconds = max(look_seconds, (time.monotonic() - begun) / _LOOK_SHARE)
        work.raise_error()
        self.output.end(path, plan.finished_before | plan.sizes.keys())

    def _tally(self, plan: Plan, version: int, seconds: float) -> Tally:
        sizes = plan.sizes
        missing = sizes.keys() - self.output.finished()
        if missing:
            raise ScoringError(
                f"The runner has ended, and {len(missing)} of {len(sizes)} parts are not in {self.output.scores}. "
                "Run the same command again: it goes on with them."
            )
        failed = sum(map(len, self.output.failures(sizes.keys()).values()))
        return Tally(version, plan.photos - failed, plan.scored_before, failed, plan.failed_before, seconds)


class _Work:
    """A pipeline that runs beside the caller, who stays free to be interrupted."""

    def __init__(self, pipeline: object) -> None:
        self._pipeline = pipeline
        self._error: Exception | None = None
        # A daemon: an interrupted command does not wait for it.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._pipeline.run().wait_until_finish()  # type: ignore[attr-defined]  # Beam's is untyped
        except Exception as error:
            self._error = error

    def is_under_way(self, patience_seconds: float) -> bool:
        """Wait for its end for so long; returns whether it is still to come."""
        self._thread.join(patience_seconds)
        return self._thread.is_alive()

    def raise_error(self) -> None:
        """Raise what ended it early: as it was meant, if it was raised on purpose."""
        if self._error is not None:
            raise meant_by(self._error) or self._error from self._error
