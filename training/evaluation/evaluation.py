"""The figures of an evaluation, as ``evaluation.json`` keeps them."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenery.files import replace_text
from training import calibration, metrics
from training.calibration import Bin
from training.evaluation import bootstrap
from training.evaluation.folds import Folds
from training.evaluation.slices import Slice, slices
from training.evaluation.subject import Subject

FILE_NAME = "evaluation.json"


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on some photos."""

    model: str
    photos: str
    """The part of the run's table, or the name of another table."""
    thresholds_from: str
    """``validation`` or ``version``: what chose the thresholds."""
    sources: int | None
    """How many sources the photos are of; None if the table tells no sources. Intervals draw these, or photos."""
    figures: dict[str, Any]
    """See :func:`training.metrics.evaluate`."""
    intervals: dict[str, Any]
    """See :func:`training.evaluation.bootstrap.intervals`."""
    reliability: list[Bin]
    slices: list[Slice]
    folds: Folds | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what ``evaluation.json`` holds."""
        return dataclasses.asdict(self)

    def write(self, folder: Path) -> None:
        """Write ``evaluation.json``."""
        replace_text(folder / FILE_NAME, json.dumps(self.as_json(), indent=2) + "\n")

    @property
    def judges(self) -> str:
        """Return how many photos these are, and of how many sources, in words."""
        photos = f"{self.figures['photos']} {'photo' if self.figures['photos'] == 1 else 'photos'}"
        if self.sources is None:
            return photos
        return f"{photos} of {self.sources} {'source' if self.sources == 1 else 'sources'}"

    @property
    def is_held_out(self) -> bool:
        """Return whether neither the network nor its thresholds saw these photos, as far as this can be known."""
        return self.photos not in ("train", "validation")

    @property
    def weakest_first(self) -> list[str]:
        """Return the labels, those of the lowest F1 first; a label without positives is last."""
        told = self.figures["labels"]
        return sorted(told, key=lambda label: (told[label]["positives"] == 0, told[label]["f1"]))

    def mistakes(self, label: str) -> tuple[int, int]:
        """Return how many photos got a label wrongly, and how many that have it did not get it."""
        told = self.figures["labels"][label]
        hits = round(told["recall"] * told["positives"])
        return told["given"] - hits, told["positives"] - hits


def measure(subject: Subject, folds: Folds | None = None) -> Evaluation:
    """Compute every figure."""
    measured = subject.targets, subject.scores, subject.thresholds, subject.labels
    sources = subject.sources
    return Evaluation(
        model=subject.name,
        photos=subject.photos,
        thresholds_from=subject.thresholds_from,
        sources=None if subject.config.group_col is None else len(set(sources)),
        figures=metrics.evaluate(*measured),
        intervals=bootstrap.intervals(*measured, sources),
        reliability=calibration.reliability(subject.targets, subject.scores),
        slices=slices(subject),
        folds=folds,
    )
