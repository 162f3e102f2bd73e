"""The worst errors: the photos that a model was most sure about, and wrong."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from training.evaluation.slices import licence_column
from training.evaluation.subject import Subject

THUMBNAIL_PIXELS = 160

_QUALITY = 70


@dataclass(frozen=True)
class Mistake:
    """A label that a photo got though it has it not, or the other way round."""

    label: str
    is_missed: bool
    """Whether the photo has the label and did not get it."""
    score: float
    threshold: float
    name: str
    path: Path
    truth: list[str]
    """The labels that the photo has."""
    credits: dict[str, str]
    """Author, licence, link and source, as far as the table tells them."""


def worst(subject: Subject, label: str, is_missed: bool, most: int) -> list[Mistake]:
    """Return the worst mistakes of one kind, those furthest from the threshold first."""
    place = subject.labels.index(label)
    scores, truth = subject.scores[:, place], subject.targets[:, place].astype(bool)
    threshold = subject.thresholds[place]
    wrong = np.flatnonzero((truth == is_missed) & ((scores >= threshold) != truth))
    order = wrong[np.argsort(scores[wrong] if is_missed else -scores[wrong], kind="stable")]
    return [_mistake(subject, int(row), place, is_missed) for row in order[:most]]


def thumbnail(path: Path) -> str | None:
    """Return a small JPEG of a photo as a data URI, at most 160 pixels a side; None if it cannot be read."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (2 * THUMBNAIL_PIXELS, 2 * THUMBNAIL_PIXELS))
            small = image.convert("RGB")
        small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    except (OSError, Image.DecompressionBombError):
        return None
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()


def _mistake(subject: Subject, row: int, place: int, is_missed: bool) -> Mistake:
    line = subject.table.iloc[row]
    truth = [label for label, has in zip(subject.labels, subject.targets[row], strict=True) if has]
    return Mistake(
        label=subject.labels[place],
        is_missed=is_missed,
        score=round(float(subject.scores[row, place]), 4),
        threshold=round(float(subject.thresholds[place]), 4),
        name=str(line[subject.config.image_name_col]),
        path=subject.paths[row],
        truth=truth,
        credits=_credits(line, subject.table),
    )


def _credits(line: pd.Series[Any], table: pd.DataFrame) -> dict[str, str]:
    columns = {"author": "author", "licence": licence_column(table), "link": "link", "source": "source"}
    return {
        name: str(line[column])
        for name, column in columns.items()
        if column is not None and column in table and not pd.isna(line[column])
    }
