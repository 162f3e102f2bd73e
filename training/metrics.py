"""How good scores are, and where to cut them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

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
    ordered = np.unique(score)
    candidates = np.append((ordered[1:] + ordered[:-1]) / 2, 0.5)
    predicted = score >= candidates[:, None]
    hits = (predicted * target).sum(axis=1)
    f1 = 2 * hits / np.maximum(predicted.sum(axis=1) + target.sum(), 1)
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
    ``exact_match`` (photos with all labels right), ``macro_f1``, ``macro_average_precision``; and
    for each label ``positives``, ``threshold``, ``precision``, ``recall``, ``f1``,
    ``average_precision``.
    """
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support

    given = scores >= thresholds
    right = given == targets.astype(bool)
    precision, recall, f1, positives = precision_recall_fscore_support(targets, given, average=None, zero_division=0)
    average_precision = [average_precision_score(*pair) for pair in zip(targets.T, scores.T, strict=True)]
    columns = zip(labels, positives, thresholds, precision, recall, f1, average_precision, strict=True)
    names = ("threshold", "precision", "recall", "f1", "average_precision")
    return {
        "photos": len(targets),
        "binary_accuracy": round(float(right.mean()), 4),
        "exact_match": round(float(right.all(axis=1).mean()), 4),
        "macro_f1": round(float(np.mean(f1)), 4),
        "macro_average_precision": round(float(np.mean(average_precision)), 4),
        "labels": {
            label: {"positives": int(count)}
            | {name: round(float(value), 4) for name, value in zip(names, values, strict=True)}
            for label, count, *values in columns
        },
    }
