"""Scores that promise too much, mended."""

from __future__ import annotations

import numpy as np
import pytest

from training.calibration import Calibration, apply, expected_calibration_error, fit, fold, reliability

RANDOM = np.random.default_rng(3)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def overconfident(photos: int, labels: int = 3, factor: float = 3.0, shift: float = 0.0):
    """Photos whose true chances are known, and scores with logits ``factor`` times too large."""
    logits = RANDOM.normal(-1, 2, (photos, labels))
    targets = (RANDOM.random((photos, labels)) < sigmoid(logits)).astype(np.float32)
    return targets, sigmoid(factor * logits + shift).astype(np.float32)


def test_scores_that_promise_too_much_are_mended():
    """On photos that it was not fitted on, the calibration brings the error to that of chance."""
    targets, scores = overconfident(4000)
    calibration = fit(targets[:2000], scores[:2000])
    assert calibration.scale == pytest.approx([1 / 3] * 3, rel=0.15)
    before = expected_calibration_error(targets[2000:], scores[2000:])
    after = expected_calibration_error(targets[2000:], apply(calibration, scores[2000:]))
    assert before > 0.1
    assert after < 0.02


def test_a_shift_of_one_label_is_found():
    """With many photos a label's shift is what it must be, and the others stay."""
    targets, scores = overconfident(4000, labels=2, factor=1.0)
    scores[:, 1] = sigmoid(np.log(scores[:, 1] / (1 - scores[:, 1])) + 1)
    assert fit(targets, scores).shift == pytest.approx([0, -1], abs=0.2)


def test_the_order_of_a_labels_photos_stays():
    """Average precision and AUC cannot change: within a label, who was before whom still is."""
    targets, scores = overconfident(200)
    mended = apply(fit(targets, scores), scores)
    assert (np.argsort(mended, axis=0, kind="stable") == np.argsort(scores, axis=0, kind="stable")).all()


def test_few_photos_move_it_little():
    """Ten photos of which the network knows each one, and a label that nobody has, give a gentle calibration."""
    targets = np.array([[1, 0]] * 5 + [[0, 0]] * 5, np.float32)
    scores = np.array([[0.9, 0.1]] * 5 + [[0.1, 0.1]] * 5, np.float32)
    calibration = fit(targets, scores)
    assert 0.5 < calibration.scale[0] < 2
    assert (np.abs(calibration.shift) < 1).all()


def test_scores_of_exactly_0_and_1_are_mended_too():
    """A network that is as sure as a float can be gets finite scores."""
    targets, scores = np.array([[1], [0], [0]], np.float32), np.array([[1], [0], [1]], np.float32)
    mended = apply(fit(targets, scores), scores)
    assert np.isfinite(mended).all()
    assert ((mended > 0) & (mended < 1)).all()


def test_a_network_keeps_its_calibration():
    """Folded into the last layer, it gives the scores that mending them afterwards gives."""
    import keras

    network = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(3, activation="sigmoid", bias_initializer="normal")]
    )
    photos = RANDOM.normal(size=(20, 5)).astype(np.float32)
    found = Calibration(np.full(3, 0.4, np.float32), np.array([-1, 0, 0.5], np.float32))
    expected = apply(found, np.asarray(network(photos)))
    fold(found, network.layers[-1])
    np.testing.assert_allclose(network(photos), expected, atol=1e-5)


def test_reliability_by_hand():
    """Bins hold their decisions, also those at a bound and at 1; the error is their mean distance."""
    targets = np.array([[0, 1], [1, 1]], np.float32)
    scores = np.array([[0.125, 0.5], [0.25, 1.0]], np.float32)
    low, middle, high = reliability(targets, scores, bins=4)[:1] + reliability(targets, scores, bins=4)[2:]
    assert (low.low, low.high, low.count, low.score, low.share) == (0, 0.25, 1, 0.125, 0)
    assert (middle.count, middle.score, middle.share) == (1, 0.5, 1)
    assert (high.low, high.count, high.score, high.share) == (0.75, 1, 1, 1)
    assert expected_calibration_error(targets, scores, bins=4) == pytest.approx((0.125 + 0.75 + 0.5 + 0) / 4)
