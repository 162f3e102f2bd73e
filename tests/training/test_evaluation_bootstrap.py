"""Intervals, and the fast figures they are made of."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.bootstrap import intervals, weighted_figures
from training.metrics import evaluate

LABELS = ["a", "b", "never"]


def some_photos(photos: int = 150):
    random = np.random.default_rng(5)
    targets = (random.random((photos, 3)) < (0.2, 0.5, 0)).astype(np.float32)
    scores = np.clip(0.3 * targets + random.random((photos, 3)) * 0.7, 0, 1).astype(np.float32).round(1)
    return targets, scores, np.array([0.5, 0.4, 0.6], np.float32)


@pytest.mark.parametrize("weighting", ["each photo once", "some photos several times, some not"])
def test_the_fast_figures_are_those_that_are_told(weighting):
    """Many resamples at once give the figures that scikit-learn gives for each, ties and all."""
    targets, scores, thresholds = some_photos()
    times = np.ones(len(targets), int)
    if weighting != "each photo once":
        times = np.random.default_rng(1).integers(0, 3, len(targets))
    slow = evaluate(*(np.repeat(each, times, axis=0) for each in (targets, scores)), thresholds, LABELS)
    fast = weighted_figures(targets, scores, thresholds, times[None].astype(float))
    for name in ("binary_accuracy", "exact_match", "macro_f1", "macro_average_precision", "macro_auc", "ece", "brier"):
        assert fast[name][0] == pytest.approx(slow[name], abs=1e-4), name
    for place, label in enumerate(LABELS):
        for name in ("precision", "recall", "f1", "average_precision", "auc", "ece", "brier"):
            told = slow["labels"][label][name]
            expected = np.nan if told is None else told
            assert fast[f"label_{name}"][0, place] == pytest.approx(expected, abs=1e-4, nan_ok=True), (label, name)


def test_a_figure_lies_in_its_interval():
    """Every figure that can be told has a range around it, and those that cannot have none."""
    targets, scores, thresholds = some_photos()
    figures, bounds = evaluate(targets, scores, thresholds, LABELS), intervals(targets, scores, thresholds, LABELS)
    for name in ("binary_accuracy", "exact_match", "macro_f1", "macro_auc"):
        low, high = bounds[name]
        assert low < figures[name] < high
    assert bounds["labels"]["never"]["auc"] is None


def test_photos_that_resemble_one_another_make_the_range_wider():
    """Ten copies of each photo are no ten photos, if they are told to be of one source."""
    *few, thresholds = some_photos(40)
    targets, scores = (np.repeat(each, 10, axis=0) for each in few)
    sources = [str(photo // 10) for photo in range(len(targets))]
    low, high = intervals(targets, scores, thresholds, LABELS)["binary_accuracy"]
    wide_low, wide_high = intervals(targets, scores, thresholds, LABELS, sources)["binary_accuracy"]
    assert wide_high - wide_low > 2 * (high - low)


def test_few_sources_promise_nothing():
    """Of four sources no range is told: it would only look narrow."""
    targets, scores, thresholds = some_photos(8)
    assert intervals(targets, scores, thresholds, LABELS, list("aabbccdd"))["exact_match"] is None


def test_many_photos_are_resampled_in_portions(monkeypatch):
    """Whether resamples fit into memory at once or not, the ranges are the same."""
    measured = *some_photos(), LABELS
    at_once = intervals(*measured)
    monkeypatch.setattr("training.evaluation.bootstrap._CELLS", 1000)
    assert intervals(*measured) == at_once
