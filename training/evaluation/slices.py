"""The same figures for a part of the photos: a model may be good on the whole and bad for some."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from training.evaluation import bootstrap
from training.evaluation.subject import Subject
from training.metrics import rounded

FEW_PHOTOS = 30
"""Below this, figures of a slice say little and are marked."""

LICENCE_COLUMNS = ("licence", "license")
UNTOLD = "not told"

_MOST_VALUES = 6
FIGURES = ("binary_accuracy", "exact_match", "macro_auc")
"""Those that can be compared between slices: F1 and average precision follow how common a label is."""


@dataclass(frozen=True)
class Slice:
    """The figures of some photos."""

    by: str
    """What the photos were told apart by."""
    value: str
    photos: int
    figures: dict[str, float | None]
    """:data:`FIGURES`; None where a figure cannot be told."""
    intervals: dict[str, list[float] | None]

    @property
    def is_small(self) -> bool:
        """Return whether there are too few photos to say much."""
        return self.photos < FEW_PHOTOS


def slices(subject: Subject) -> list[Slice]:
    """Slice by licence, where the table tells it, by the photos' size and by their number of labels."""
    return [
        _slice(subject, by, name, places == place)
        for by, places, names in _divisions(subject)
        for place, name in enumerate(names)
        if (places == place).any()
    ]


def licence_column(table: pd.DataFrame) -> str | None:
    """Return the name of the column of licences, if there is one."""
    return next((column for column in LICENCE_COLUMNS if column in table), None)


def _slice(subject: Subject, by: str, value: str, chosen: npt.NDArray[np.bool_]) -> Slice:
    targets, scores = subject.targets[chosen], subject.scores[chosen]
    sources = list(np.array(subject.sources)[chosen])
    once = bootstrap.weighted_figures(targets, scores, subject.thresholds, np.ones((1, len(targets))))
    bounds: dict[str, Any] = bootstrap.intervals(targets, scores, subject.thresholds, subject.labels, sources)
    figures = {name: None if np.isnan(once[name][0]) else rounded(once[name][0]) for name in FIGURES}
    return Slice(by, value, len(targets), figures, {name: bounds[name] for name in FIGURES})


_Division = tuple[str, npt.NDArray[np.int64], list[str]]
"""What photos are told apart by; the place of each photo's value; the values, in the order to show them."""


def _divisions(subject: Subject) -> Iterator[_Division]:
    licence = licence_column(subject.table)
    if licence is not None:
        yield _by_licence(subject.table[licence])
    by_size = _by_size(np.array([_shorter_side(path) for path in subject.paths]))
    if by_size is not None:
        yield by_size
    counts = np.minimum(subject.targets.sum(axis=1).astype(np.int64), 2)
    yield "labels on the photo", counts, ["no label", "one label", "two labels or more"]


def _by_licence(licences: pd.Series[Any]) -> _Division:
    told = licences.fillna(UNTOLD).astype(str)
    names = list(told.value_counts().index[:_MOST_VALUES])
    places = [names.index(each) if each in names else len(names) for each in told]
    return "licence", np.array(places), [*names, "other licences"]


def _by_size(sides: npt.NDArray[np.int64]) -> _Division | None:
    """Divide the photos in thirds by their shorter side, in pixels; None if they are all of about one size."""
    low, high = np.quantile(sides, [1 / 3, 2 / 3]).round().astype(int)
    places = np.digitize(sides, [low, high], right=True)
    if len(np.unique(places)) < 3:
        return None
    return "shorter side", places, [f"up to {low} px", f"{low + 1} to {high} px", f"over {high} px"]


def _shorter_side(path: Any) -> int:
    """Read a photo's shorter side from its header, in pixels; 0 if this cannot be read."""
    try:
        with Image.open(path) as image:
            side: int = min(image.size)
            return side
    except (OSError, Image.DecompressionBombError):
        return 0
