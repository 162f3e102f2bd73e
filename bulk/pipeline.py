"""The pipeline: a plan's parts, each scored and written where it is scored."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import RunInference

from bulk import storage
from bulk.handler import PartHandler
from bulk.output import Output
from bulk.part import ScoredPart
from bulk.patience import patiently
from bulk.plan import part_of
from bulk.scorer import UnavailableError
from scenery.errors import ScoringError


def build(pipeline: beam.Pipeline, plan: str, handler: PartHandler, output: Output, patience_seconds: float) -> None:
    """Add the steps from a plan to the output's parts.

    The plan travels as the name of its file, so that it may be of any length; the shuffle spreads its lines over
    the workers. From there on a part stays in one process until it is written.
    """
    _ = (
        pipeline
        | "Plan" >> beam.Create([plan])
        | "Lines" >> beam.FlatMap(_lines)
        | "Spread" >> beam.Reshuffle()
        | "Part" >> beam.Map(part_of)
        | "Score" >> RunInference(handler)
        | "Write" >> beam.ParDo(WritePart(output, plan, patience_seconds))
    )


def _lines(plan: str) -> Iterable[str]:
    return storage.read(plan).decode().splitlines()


class WritePart(beam.DoFn):  # type: ignore[misc]  # Beam's is untyped
    """Writes a part, and counts its photos for the runner's own page."""

    def __init__(self, output: Output, plan: str, patience_seconds: float) -> None:
        super().__init__()
        self._output = output
        self._plan = plan
        self._patience_seconds = patience_seconds
        self._scored = Metrics.counter("scenery", "scored")
        self._failed = Metrics.counter("scenery", "failed")

    def process(self, element: ScoredPart) -> None:
        """Write one; raises :class:`scenery.errors.ScoringError` if it cannot be written for too long."""
        patiently(lambda: self._write(element), self._patience_seconds)
        self._scored.inc(len(element.photos))
        self._failed.inc(len(element.failures))

    def _write(self, part: ScoredPart) -> None:
        try:
            if not storage.exists(self._plan):
                raise ScoringError(
                    f"Another run has begun on {self._output.scores}, so this one has ended. Wait for the other one; "
                    "it goes on with what was finished."
                )
            self._output.write(part)
        except OSError as error:
            raise UnavailableError(
                f"{self._output.scores} cannot be written. Make room or correct its permissions. Received: {error}."
            ) from error
