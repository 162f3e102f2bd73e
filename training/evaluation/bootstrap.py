"""How far chance moves a figure: percentile intervals of the bootstrap (Efron and Tibshirani 1993)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from training.calibration import BINS, bin_places
from training.metrics import of_counts, share

Floats = npt.NDArray[np.float32]
Figures = dict[str, npt.NDArray[np.float64]]

RESAMPLES = 1000
PERCENTILES = (2.5, 97.5)

FEWEST_SOURCES = 5
"""Draws of fewer sources tell nothing about others."""

_CELLS = 4_000_000
"""How many weights, of resamples times photos, are in memory at a time."""


def intervals(
    targets: Floats,
    scores: Floats,
    thresholds: Floats,
    labels: list[str],
    sources: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Return the interval of each figure of :func:`training.metrics.evaluate`, in the same shape.

    Whole sources are drawn, with replacement: photos of one source resemble one another, so that
    drawing single photos would promise too much.

    Parameters
    ----------
    targets, scores
        float32 [n, labels]: 0 or 1, and scores in [0, 1].
    thresholds
        float32 [labels].
    labels
        Their names, in order.
    sources
        The source of each photo; without them each photo is its own.

    Returns
    -------
    A JSON object with ``[low, high]`` for each figure, the percentiles 2.5 and 97.5 of the
    resamples in which the figure exists; None where it does in none, or there are fewer than
    :data:`FEWEST_SOURCES`.
    """
    groups = np.unique(sources, return_inverse=True)[1] if sources is not None else np.arange(len(targets))
    bounds = _interval if groups.max() + 1 >= FEWEST_SOURCES else _untold
    chunks = [weighted_figures(targets, scores, thresholds, weights) for weights in _resample(groups, resamples)]
    figures = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    whole = {name: bounds(values) for name, values in figures.items() if values.ndim == 1}
    singles = {name: values for name, values in figures.items() if values.ndim > 1}
    return whole | {
        "labels": {
            label: {name.removeprefix("label_"): bounds(values[:, place]) for name, values in singles.items()}
            for place, label in enumerate(labels)
        }
    }


def weighted_figures(targets: Floats, scores: Floats, thresholds: Floats, weights: npt.NDArray[np.float64]) -> Figures:
    """Compute the figures for many weightings of the photos at once.

    Parameters
    ----------
    weights
        float64 [resamples, n]: how often each photo is in each resample.

    Returns
    -------
    Figures of everything, [resamples]; those of single labels, [resamples, labels], begin with
    ``label_``. What cannot be told is nan.
    """
    total = weights.sum(axis=1)
    truth, given = targets.astype(bool), scores >= thresholds
    positives, claimed, hits = (weights @ each for each in (truth, given, truth & given))
    right = given == truth
    errors = weights @ (scores.astype(float) - targets) ** 2 / total[:, None]
    curves = [_curve_areas(*pair, weights) for pair in zip(truth.T, scores.T, strict=True)]
    gaps = [_bin_gaps(*pair, weights) for pair in zip(targets.T, scores.T, strict=True)]
    single = {
        **of_counts(positives, claimed, hits),
        "average_precision": np.stack([area[0] for area in curves], axis=1),
        "auc": np.stack([area[1] for area in curves], axis=1),
        "ece": np.stack([np.abs(gap).sum(axis=1) for gap in gaps], axis=1) / total[:, None],
        "brier": errors,
    }
    pooled = np.abs(np.sum(gaps, axis=0)).sum(axis=1)
    return {
        "binary_accuracy": weights @ right.mean(axis=1) / total,
        "exact_match": weights @ right.all(axis=1) / total,
        **{f"macro_{name}": _mean(single[name]) for name in ("f1", "average_precision", "auc")},
        "ece": pooled / (total * len(targets.T)),
        "brier": errors.mean(axis=1),
        **{f"label_{name}": values for name, values in single.items()},
    }


def _resample(groups: npt.NDArray[np.int64], resamples: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the weights of the photos in some resamples at a time."""
    random = np.random.default_rng(0)
    count = int(groups.max()) + 1
    at_once = max(1, _CELLS // len(groups))
    for start in range(0, resamples, at_once):
        drawn = random.multinomial(count, np.full(count, 1 / count), size=min(at_once, resamples - start))
        yield drawn[:, groups].astype(float)


def _curve_areas(
    truth: npt.NDArray[np.bool_], score: Floats, weights: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the average precision and the area under the ROC curve, [resamples] each; photos of one score are one."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    ordered = weights[:, order]
    hits = np.cumsum(ordered * truth[order], axis=1)[:, ends]
    misses = np.cumsum(ordered * ~truth[order], axis=1)[:, ends]
    positives, negatives = hits[:, -1:], misses[:, -1:]
    with np.errstate(invalid="ignore"):
        steps = np.diff(hits, axis=1, prepend=0) / positives
        slices = np.diff(misses, axis=1, prepend=0) / negatives
    average_precision = (steps * share(hits, hits + misses)).sum(axis=1)
    middles = hits - np.diff(hits, axis=1, prepend=0) / 2
    with np.errstate(invalid="ignore"):
        area = (slices * middles / positives).sum(axis=1)
    return average_precision, area


def _bin_gaps(target: Floats, score: Floats, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the sum of the scores in each bin, less the photos that have the label: [resamples, bins]."""
    member = np.eye(BINS)[bin_places(score.astype(float))]
    gaps: npt.NDArray[np.float64] = weights @ (member * (score.astype(float) - target)[:, None])
    return gaps


def _mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean over the labels whose figure exists; nan where none does."""
    there = ~np.isnan(values)
    sums = np.where(there, values, 0).sum(axis=1)
    counts = there.sum(axis=1)
    means: npt.NDArray[np.float64] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def _interval(values: npt.NDArray[np.float64]) -> list[float] | None:
    told = values[~np.isnan(values)]
    return [round(float(bound), 4) for bound in np.percentile(told, PERCENTILES)] if len(told) else None


def _untold(_: npt.NDArray[np.float64]) -> list[float] | None:
    return None
