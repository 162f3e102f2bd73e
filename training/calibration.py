"""Scores that mean what they say: of the photos that score 0.8 for a label, eight in ten have it.

A network's scores are mostly too sure of themselves (Guo et al. 2017, arXiv:1706.04599). They are
mended on the logits, after training and on validation data, without changing the order of a label's
photos.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

BINS = 10

SCALE_DEVIATION = 1.0
SHIFT_DEVIATION = 0.5
"""How far from 1 the scale, and from 0 a shift, is expected to be: the deviations of normal priors."""

_SMALLEST_SCALE = 0.05
_SMALLEST_SCORE = 1e-7


@dataclass(frozen=True)
class Calibration:
    """What mends the scores: a label's mended logit is scale · logit + shift."""

    scale: Floats
    """float32 [labels], above 0; the same for all labels."""
    shift: Floats
    """float32 [labels]."""


@dataclass(frozen=True)
class Bin:
    """The decisions whose scores lie between two bounds: a dot of a reliability diagram."""

    low: float
    high: float
    count: int
    score: float
    """Their mean score."""
    share: float
    """The share of them in which the photo has the label."""


def fit(targets: Floats, scores: Floats) -> Calibration:
    """Find the calibration of a network; call it with validation data only.

    Platt (1999) fits a scale and a shift a label. With some twenty positives a label that follows
    accidents, so all labels share one scale, as in temperature scaling (Guo et al. 2017), the
    shifts are drawn to 0 and the scale to 1 (a normal prior each), and the targets are smoothed as
    Platt does it: even labels that a network separates without a mistake get a finite scale.

    Parameters
    ----------
    targets, scores
        float32 [n, labels]: 0 or 1, and the network's scores in [0, 1].
    """
    from scipy.optimize import minimize

    logits = _logits(scores)
    smoothed = _smoothed(targets)

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        scale, shift = parameters[0], parameters[1:]
        mended = scale * logits + shift
        log_losses = np.logaddexp(0, mended) - smoothed * mended
        penalty = ((scale - 1) / SCALE_DEVIATION) ** 2 + ((shift / SHIFT_DEVIATION) ** 2).sum()
        error = _sigmoid(mended) - smoothed
        slope = np.append((error * logits).sum(), error.sum(axis=0))
        slope += np.append((scale - 1) / SCALE_DEVIATION**2, shift / SHIFT_DEVIATION**2)
        return float(log_losses.sum() + penalty / 2), slope

    labels = targets.shape[1]
    start = np.append(1.0, np.zeros(labels))
    bounds = [(_SMALLEST_SCALE, None), *[(None, None)] * labels]
    best = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return Calibration(np.full(labels, best[0], np.float32), best[1:].astype(np.float32))


def apply(calibration: Calibration, scores: Floats) -> Floats:
    """Mend scores: float32 [n, labels] → the same shape."""
    mended: Floats = _sigmoid(calibration.scale * _logits(scores) + calibration.shift).astype(np.float32)
    return mended


def fold(calibration: Calibration, layer: Any) -> None:
    """Put a calibration into a network's last layer, whose scores are mended from then on.

    Parameters
    ----------
    layer
        A Keras ``Dense`` with a bias and a sigmoid.
    """
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel * calibration.scale, bias * calibration.scale + calibration.shift])


def reliability(targets: Floats, scores: Floats, bins: int = BINS) -> list[Bin]:
    """Compare the scores of all decisions with how often photos have the label, in bins of equal width.

    Bins of equal width are what readers know, and a figure that is made of them is the diagram they
    see. Empty ones are left out.

    Parameters
    ----------
    targets, scores
        float32 of any same shape: 0 or 1, and scores in [0, 1].
    """
    target, score = np.ravel(targets).astype(float), np.ravel(scores).astype(float)
    places = bin_places(score, bins)
    counts = np.bincount(places, minlength=bins)
    means = [np.bincount(places, values, bins) / np.maximum(counts, 1) for values in (score, target)]
    return [
        Bin(place / bins, (place + 1) / bins, int(counts[place]), float(means[0][place]), float(means[1][place]))
        for place in np.flatnonzero(counts)
    ]


def expected_calibration_error(targets: Floats, scores: Floats, bins: int = BINS) -> float:
    """Return how far scores are from how often photos have the label, on average over all decisions.

    The distance of each bin of :func:`reliability`, weighted by its decisions (Naeini et al. 2015).
    Even a perfect score gets more than 0 from few photos.
    """
    filled = reliability(targets, scores, bins)
    total = sum(each.count for each in filled)
    return sum(each.count * abs(each.score - each.share) for each in filled) / total


def bin_places(scores: npt.NDArray[np.floating], bins: int = BINS) -> npt.NDArray[np.int64]:
    """Return the bin of each score, from 0; a score of 1 is in the last."""
    places: npt.NDArray[np.int64] = np.minimum((scores * bins).astype(np.int64), bins - 1)
    return places


def _smoothed(targets: Floats) -> npt.NDArray[np.float64]:
    positives = targets.sum(axis=0, dtype=float)
    negatives = len(targets) - positives
    smoothed: npt.NDArray[np.float64] = np.where(targets > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    return smoothed


def _logits(scores: Floats) -> npt.NDArray[np.float64]:
    clipped = np.clip(scores.astype(float), _SMALLEST_SCORE, 1 - _SMALLEST_SCORE)
    logits: npt.NDArray[np.float64] = np.log(clipped) - np.log1p(-clipped)
    return logits


def _sigmoid(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    sigmoid: npt.NDArray[np.float64] = np.exp(-np.logaddexp(0, -logits))
    return sigmoid
