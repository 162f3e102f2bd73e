"""Figures that are known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics import RESAMPLES, choose_thresholds, evaluate, macro_average_precision

TARGETS = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], np.float32)
SCORES = np.array([[0.9, 0.2], [0.4, 0.1], [0.3, 0.8], [0.1, 0.6]], np.float32)


def test_figures_by_hand():
    """Six of eight decisions are right, two of four photos whole."""
    figures = evaluate(TARGETS, SCORES, np.array([0.5, 0.5], np.float32), ["a", "b"])
    assert figures["photos"] == 4
    assert figures["binary_accuracy"] == 0.75
    assert figures["exact_match"] == 0.5
    assert figures["labels"]["a"] == {
        "positives": 2, "given": 1, "threshold": 0.5, "precision": 1.0, "recall": 0.5, "f1": 0.6667,
        "average_precision": 1.0, "auc": 1.0, "ece": 0.275, "brier": 0.1175,
    }  # fmt: skip
    assert figures["labels"]["b"]["precision"] == 0.5
    assert figures["macro_f1"] == 0.6667
    assert figures["macro_average_precision"] == 1.0
    assert figures["macro_auc"] == 1.0
    assert figures["brier"] == 0.115


def test_a_single_label_is_told_as_among_others():
    """The figures of a model of one label are those of the photos that have it, not of those that have it not."""
    alone = evaluate(TARGETS[:, :1], SCORES[:, :1], np.array([0.5], np.float32), ["a"])
    among = evaluate(TARGETS, SCORES, np.array([0.5, 0.5], np.float32), ["a", "b"])
    assert alone["labels"] == {"a": among["labels"]["a"]}
    assert alone["macro_f1"] == among["labels"]["a"]["f1"]


def test_labels_without_positives_are_no_part_of_the_mean():
    """The macro average precision is that of the labels that can be told; of none, there is none."""
    never = np.zeros((4, 1), np.float32)
    wide = np.hstack([TARGETS, never]), np.hstack([SCORES, SCORES[:, :1]])
    assert macro_average_precision(*wide) == macro_average_precision(TARGETS, SCORES) == 1.0
    assert macro_average_precision(never, SCORES[:, :1]) is None


def test_what_cannot_be_told_is_none():
    """A label that no photo has, or every photo, keeps no other figure from being told."""
    targets = np.array([[0, 1, 1], [0, 1, 0]], np.float32)
    scores = np.array([[0.1, 0.9, 0.8], [0.2, 0.9, 0.3]], np.float32)
    figures = evaluate(targets, scores, np.full(3, 0.5, np.float32), ["never", "always", "sometimes"])
    assert figures["labels"]["never"]["average_precision"] is None
    assert figures["labels"]["never"]["auc"] is None
    assert figures["labels"]["always"]["auc"] is None
    assert figures["labels"]["sometimes"]["auc"] == 1.0
    assert figures["macro_auc"] == 1.0
    assert evaluate(targets[:, :1], scores[:, :1], np.array([0.5], np.float32), ["never"])["macro_auc"] is None


def test_thresholds_separate_what_can_be_separated():
    """Where a threshold divides the classes, one between them is found."""
    scores = np.array([[0.9, 0.2], [0.8, 0.1], [0.7, 0.3]] * 10 + [[0.3, 0.8], [0.1, 0.9]] * 10, np.float32)
    targets = np.array([[1, 0]] * 30 + [[0, 1]] * 20, np.float32)
    assert ((scores >= choose_thresholds(targets, scores)) == targets).all()


def test_a_threshold_does_not_follow_a_single_photo():
    """One odd photo among many does not move the threshold to itself."""
    scores = np.concatenate([np.linspace(0.5, 1, 30), np.linspace(0, 0.5, 30), [0.02]]).astype(np.float32)[:, None]
    targets = np.array([1] * 30 + [0] * 30 + [1], np.float32)[:, None]
    assert choose_thresholds(targets, scores)[0] == pytest.approx(0.5, abs=0.05)


def obvious_threshold(target, score):
    """Try every candidate on every photo."""
    ordered = np.unique(score)
    candidates = np.append((ordered[1:] + ordered[:-1]) / 2, 0.5)
    predicted = score >= candidates[:, None]
    hits = (predicted * target).sum(axis=1)
    f1 = 2 * hits / np.maximum(predicted.sum(axis=1) + target.sum(), 1)
    best = candidates[f1 >= f1.max() - 1e-9]
    return best[np.argmin(np.abs(best - 0.5))]


@pytest.mark.parametrize("decimals", [1, 7], ids=["many ties", "no ties"])
def test_thresholds_are_the_same_as_by_trying_all(decimals):
    """Counting along the sorted scores finds what trying every candidate finds, also for labels that nobody has."""
    random = np.random.default_rng(4)
    scores = random.random((60, 4)).round(decimals).astype(np.float32)
    targets = (scores + random.normal(0, 0.3, scores.shape) > (0.4, 0.8, 9, -9)).astype(np.float32)
    again = np.random.default_rng(0)
    resamples = [again.integers(60, size=60) for _ in range(RESAMPLES)]
    tried = [
        [obvious_threshold(*pair) for pair in zip(targets[each].T, scores[each].T, strict=True)] for each in resamples
    ]
    np.testing.assert_array_equal(choose_thresholds(targets, scores), np.median(tried, axis=0).astype(np.float32))


def test_of_equal_thresholds_the_plainest_wins():
    """If 0.5 is as good as any other, it is 0.5."""
    targets = np.array([[1], [0]], np.float32)
    assert choose_thresholds(targets, np.array([[0.99], [0.01]], np.float32)) == pytest.approx([0.5])
    assert choose_thresholds(targets, np.array([[0.5], [0.5]], np.float32)) == pytest.approx([0.5])
