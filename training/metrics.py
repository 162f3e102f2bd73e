"""How good scores are, and where to cut them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from training.calibration import expected_calibration_error

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.integer | np.floating]

RESAMPLES = 200


def choose_thresholds(targets: Floats, scores: Floats) -> Floats:
    """Choose for each label the threshold with the best F1; call it with validation data only.

    A single best threshold follows the accidents of few photos, so it is found on many bootstrap
    resamples of them (Efron 1979) and the median is taken. Within a resample, candidates are the
    middles between neighbouring scores, and of equals the one nearest 0.5 wins.

    Parameters
    ----------
    targets, scores
        float32 [n, labels]: 0 or 1, and scores in [0, 1].

    Returns
    -------
    float32 [labels].
    """
    random = np.random.default_rng(0)
    resamples = [random.integers(len(targets), size=len(targets)) for _ in range(RESAMPLES)]
    best = [
        [_best_threshold(target[chosen], score[chosen]) for target, score in zip(targets.T, scores.T, strict=True)]
        for chosen in resamples
    ]
    thresholds: Floats = np.median(best, axis=0).astype(np.float32)
    return thresholds


def _best_threshold(target: Floats, score: Floats) -> float:
    order = np.argsort(score)
    ordered, positives_below = score[order], np.append(0.0, np.cumsum(target[order], dtype=float))
    distinct = np.unique(ordered)
    candidates = np.append((distinct[1:] + distinct[:-1]) / 2, 0.5)
    below = np.searchsorted(ordered, candidates)
    positives = positives_below[-1]
    hits = positives - positives_below[below]
    f1 = share(2 * hits, len(score) - below + positives)
    best = candidates[f1 >= f1.max() - 1e-9]
    return float(best[np.argmin(np.abs(best - 0.5))])


def evaluate(targets: Floats, scores: Floats, thresholds: Floats, labels: list[str]) -> dict[str, Any]:
    """Measure scores against the truth.

    Parameters
    ----------
    targets, scores
        float32 [n, labels]: 0 or 1, and scores in [0, 1].
    thresholds
        float32 [labels]: a label is given where its score reaches its threshold.
    labels
        Their names, in order.

    Returns
    -------
    A JSON object: ``photos``; ``binary_accuracy`` (single decisions that are right),
    ``exact_match`` (photos with all labels right), ``macro_f1``, ``macro_average_precision``,
    ``macro_auc``; over all decisions ``ece`` (:func:`~training.calibration.expected_calibration_error`)
    and ``brier`` (mean squared error of the scores); and for each label ``positives`` (photos that
    have it), ``given`` (photos that got it), ``threshold``, ``precision``, ``recall``, ``f1``,
    ``average_precision``, ``auc`` (area under the ROC curve), ``ece``, ``brier``.

    A label of which there are no positives has no average precision, and one that all photos have,
    or none, has no AUC: these are None, and are not part of the macro figures. Precision, recall and
    F1 are 0 where there is nothing to divide by.
    """
    truth, given = targets.astype(bool), scores >= thresholds
    right = given == truth
    positives, claimed, hits = (each.sum(axis=0) for each in (truth, given, truth & given))
    pairs = list(zip(targets.T, scores.T, strict=True))
    columns = {
        "threshold": thresholds,
        **of_counts(positives, claimed, hits),
        "average_precision": [_average_precision(*pair) for pair in pairs],
        "auc": [_auc(*pair) for pair in pairs],
        "ece": [expected_calibration_error(*pair) for pair in pairs],
        "brier": ((scores - targets) ** 2).mean(axis=0),
    }
    return {
        "photos": len(targets),
        "binary_accuracy": rounded(right.mean()),
        "exact_match": rounded(right.all(axis=1).mean()),
        **{f"macro_{name}": rounded(mean(columns[name])) for name in ("f1", "average_precision", "auc")},
        "ece": rounded(expected_calibration_error(targets, scores)),
        "brier": rounded(((scores - targets) ** 2).mean()),
        "labels": {
            label: {"positives": int(positives[place]), "given": int(claimed[place])}
            | {name: rounded(values[place]) for name, values in columns.items()}
            for place, label in enumerate(labels)
        },
    }


def macro_average_precision(targets: Floats, scores: Floats) -> float | None:
    """Return the mean average precision of the labels that have positives; None if none has.

    Parameters
    ----------
    targets, scores
        float32 [n, labels]: 0 or 1, and scores in [0, 1].
    """
    return mean(_average_precision(*pair) for pair in zip(targets.T, scores.T, strict=True))


def of_counts(positives: Counts, claimed: Counts, hits: Counts) -> dict[str, npt.NDArray[np.float64]]:
    """Return precision, recall and F1.

    Parameters
    ----------
    positives, claimed, hits
        Of any same shape: how many photos have a label, got it, and got it rightly.
    """
    return {
        "precision": share(hits, claimed),
        "recall": share(hits, positives),
        "f1": share(2 * hits, claimed + positives),
    }


def share(part: Counts, whole: Counts) -> npt.NDArray[np.float64]:
    """Divide; 0 where there is nothing to divide by."""
    shares: npt.NDArray[np.float64] = np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)
    return shares


def rounded(value: float | None) -> float | None:
    """Return a figure as it is kept: four decimals; what cannot be told stays None."""
    return None if value is None else round(float(value), 4)


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the figures that can be told; None if there are none."""
    told = [float(value) for value in values if value is not None]
    return sum(told) / len(told) if told else None


def _average_precision(target: Floats, score: Floats) -> float | None:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(target, score)) if target.any() else None


def _auc(target: Floats, score: Floats) -> float | None:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(target, score)) if target.any() and not target.all() else None
