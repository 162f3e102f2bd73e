"""A version must not be worse than the one that serves, label by label, on photos that neither was trained on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from sklearn.metrics import average_precision_score, f1_score

from export.gate.evaluation import Evaluation
from export.gate.verdict import Finding
from scenery.errors import ExportError
from scenery.loaded import Floats, LoadedVersion

MARGIN = 0.05
"""With about twenty positives a label, one photo moves its F1 by 0.02 to 0.03."""

Figures = dict[str, dict[str, float]]
"""By label: ``f1`` at the version's own threshold, and ``average_precision``."""


@dataclass(frozen=True)
class Serving:
    """The version that a candidate is compared with."""

    number: int
    loaded: LoadedVersion


def check_quality(candidate: LoadedVersion, serving: Serving | None, evaluation: Evaluation, margin: float) -> Finding:
    """Compare F1 and average precision of each label with those of the serving version.

    Parameters
    ----------
    serving
        None: nothing serves, and the candidate is only measured.
    margin
        How much lower either may be.
    """
    ours = measure(candidate, evaluation)
    figures: dict[str, Any] = {
        "evaluation": evaluation.table.name,
        "evaluation_sha256": evaluation.digest(),
        "photos": len(evaluation.photos),
        "margin": margin,
        "candidate": ours,
    }
    on = f"{len(evaluation.photos)} photos of {evaluation.table.name}"
    if serving is None:
        told = ", ".join(f"{label} {each['f1']:.2f}" for label, each in ours.items())
        return Finding(True, f"{on}, F1: {told}; nothing serves that it could be compared with", figures)
    theirs = measure(serving.loaded, evaluation)
    figures |= {"against": serving.number, "serving": theirs}
    gone = sorted(set(theirs) - set(ours))
    worse = _worse(ours, theirs, margin)
    if gone or worse:
        told = "; ".join([*(f"{label} is not among its labels" for label in gone), *worse])
        return Finding(False, f"{on}: {told}; version {serving.number} is better by more than {margin:g}", figures)
    told = ", ".join(f"{label} {_change(ours, theirs, label)}" for label in ours)
    return Finding(True, f"{on}, F1 against version {serving.number}: {told}", figures)


def measure(loaded: LoadedVersion, evaluation: Evaluation) -> Figures:
    """Return a version's figures for each of its labels.

    Raises
    ------
    ExportError
        If a label has no column or no photo.
    VersionError
        If a photo cannot be scored.
    """
    description = loaded.describe()
    targets = evaluation.targets(description.labels)
    scores = score_photos(loaded, evaluation)
    given = scores >= np.array(description.thresholds, np.float32)
    return {
        label: {
            "f1": round(float(f1_score(targets[:, place], given[:, place], zero_division=0)), 4),
            "average_precision": round(float(average_precision_score(targets[:, place], scores[:, place])), 4),
        }
        for place, label in enumerate(description.labels)
    }


def score_photos(loaded: LoadedVersion, evaluation: Evaluation) -> Floats:
    """Return a version's scores, float32 [photos, labels]; raises as :func:`measure` does."""
    labels = loaded.describe().labels
    targets = evaluation.targets(labels)
    unseen = [label for label, column in zip(labels, targets.T, strict=True) if not column.any()]
    if unseen:
        raise ExportError(f"No photo of {evaluation.table} has the label {unseen[0]!r}. Add some, to judge it by.")
    with click.progressbar(
        evaluation.photos, label=f"scoring by {loaded.folder.name}", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as photos:
        scores = np.array([loaded.classify(photo.read_bytes()) for photo in photos])
    if scores.shape != targets.shape:
        raise ExportError(f"It gives a photo {scores.shape[1:]} scores and names {len(labels)} labels.")
    if not np.isfinite(scores).all():
        raise ExportError("It gives photos scores that are no numbers.")
    return scores


def _worse(ours: Figures, theirs: Figures, margin: float) -> list[str]:
    names = {"f1": "F1", "average_precision": "average precision"}
    return [
        f"{label}: {names[figure]} {theirs[label][figure]:.2f} → {ours[label][figure]:.2f}"
        for label in ours
        if label in theirs
        for figure in names
        # A NaN is no figure, and so is worse.
        if not ours[label][figure] >= theirs[label][figure] - margin
    ]


def _change(ours: Figures, theirs: Figures, label: str) -> str:
    before = f"{theirs[label]['f1']:.2f} → " if label in theirs else "new, "
    return f"{before}{ours[label]['f1']:.2f}"
