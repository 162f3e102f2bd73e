"""A ``model.tflite`` must not be worse than the SavedModel that it stands for, on photos that it was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, f1_score

from export.gate.evaluation import Evaluation
from export.gate.lite import LiteVersion
from export.gate.quality import MARGIN as LABEL_MARGIN
from export.gate.quality import score_photos
from export.gate.verdict import Finding
from scenery.errors import ConfigurationError, ExportError
from scenery.lite import FILE_NAME
from scenery.loaded import Floats, LoadedVersion

MARGIN = 0.005
"""How much lower the mean of the labels' average precisions may be: half a point."""


def check_precision(
    candidate: LoadedVersion, evaluation: Evaluation, margin: float, label_margin: float = LABEL_MARGIN
) -> Finding:
    """Compare the labels' average precisions and F1 by LiteRT with those by TensorFlow; tell how many decisions differ.

    Parameters
    ----------
    candidate
        A version with a ``model.tflite``.
    margin
        How much lower the mean of average precisions may be.
    label_margin
        How much lower the F1 of each label may be.

    Raises
    ------
    ExportError
        If LiteRT is not installed, or a label has no column or no photo.
    VersionError
        If ``model.tflite`` cannot be loaded or is not of this SavedModel, or a photo cannot be scored.
    """
    description = candidate.describe()
    try:
        with LiteVersion(candidate.folder) as lite:
            ours = score_photos(lite, evaluation)
    except ConfigurationError as error:
        raise ExportError(str(error)) from error
    theirs = score_photos(candidate, evaluation)
    targets = evaluation.targets(description.labels)
    thresholds = np.array(description.thresholds, np.float32)
    decided, decided_by_tensorflow = ours >= thresholds, theirs >= thresholds
    f1, f1_by_tensorflow = (
        dict(zip(description.labels, map(_f1, targets.T, each.T), strict=True))
        for each in (decided, decided_by_tensorflow)
    )
    figures: dict[str, Any] = {
        "photos": len(evaluation.photos),
        "macro_average_precision": _macro_average_precision(targets, ours),
        "macro_average_precision_by_tensorflow": _macro_average_precision(targets, theirs),
        "margin": margin,
        "f1": f1,
        "f1_by_tensorflow": f1_by_tensorflow,
        "label_margin": label_margin,
        "same_decisions": round(float((decided == decided_by_tensorflow).mean()), 4),
        "largest_difference": round(float(np.abs(ours - theirs).max()), 6),
    }
    before, after = figures["macro_average_precision_by_tensorflow"], figures["macro_average_precision"]
    detail = (
        f"{FILE_NAME} on {len(evaluation.photos)} photos of {evaluation.table.name}: macro average precision "
        f"{before:.4f} → {after:.4f} ({margin:g} less allowed), {figures['same_decisions']:.2%} of decisions the same"
    )
    worse = [
        f"; {label}: F1 {f1_by_tensorflow[label]:.2f} → {f1[label]:.2f} ({label_margin:g} less allowed)"
        for label in description.labels
        if not is_within(f1_by_tensorflow[label], f1[label], label_margin)
    ]
    return Finding(is_within(before, after, margin) and not worse, detail + "".join(worse), figures)


def is_within(before: float, after: float, margin: float) -> bool:
    """Tell whether a figure fell by no more than ``margin``, to four decimals; a NaN is no figure, and so is worse."""
    return round(after - before + margin, 4) >= 0


def _f1(targets: Floats, decided: npt.NDArray[np.bool_]) -> float:
    return round(float(f1_score(targets, decided, zero_division=0)), 4)


def _macro_average_precision(targets: Floats, scores: Floats) -> float:
    return round(float(average_precision_score(targets, scores, average="macro")), 4)
