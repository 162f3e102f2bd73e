"""A ``model.tflite`` must not be worse than the SavedModel that it stands for, on photos that it was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from export.gate.evaluation import Evaluation
from export.gate.lite import LiteVersion
from export.gate.quality import score_photos
from export.gate.verdict import Finding
from scenery.errors import ConfigurationError, ExportError
from scenery.lite import FILE_NAME
from scenery.loaded import Floats, LoadedVersion

MARGIN = 0.005
"""How much lower the mean of the labels' average precisions may be: half a point."""


def has_lite(candidate: LoadedVersion) -> bool:
    """Tell whether a version has a ``model.tflite``."""
    return (candidate.folder / FILE_NAME).is_file()


def check_precision(candidate: LoadedVersion, evaluation: Evaluation, margin: float) -> Finding:
    """Compare the labels' average precisions by LiteRT with those by TensorFlow, and tell how many decisions differ.

    Parameters
    ----------
    candidate
        A version with a ``model.tflite``.
    margin
        How much lower their mean may be.

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
    figures: dict[str, Any] = {
        "photos": len(evaluation.photos),
        "macro_average_precision": _macro_average_precision(targets, ours),
        "macro_average_precision_by_tensorflow": _macro_average_precision(targets, theirs),
        "margin": margin,
        "same_decisions": round(float(((ours >= thresholds) == (theirs >= thresholds)).mean()), 4),
        "largest_difference": round(float(np.abs(ours - theirs).max()), 6),
    }
    before, after = figures["macro_average_precision_by_tensorflow"], figures["macro_average_precision"]
    detail = (
        f"{FILE_NAME} on {len(evaluation.photos)} photos of {evaluation.table.name}: macro average precision "
        f"{before:.4f} → {after:.4f} ({margin:g} less allowed), {figures['same_decisions']:.2%} of decisions the same"
    )
    return Finding(after >= before - margin, detail, figures)


def _macro_average_precision(targets: Floats, scores: Floats) -> float:
    return round(float(average_precision_score(targets, scores, average="macro")), 4)
