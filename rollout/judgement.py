"""Is a canary as good as the stable version? A pure function of what proxies counted of both.

Each comparison allows for chance: a difference counts only beyond what samples of these sizes show
once in a hundred times when there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rollout.figures import Figures, Histogram
from scenery import contract

_Z = 2.33
"""Standard deviations that a normal variable exceeds once in a hundred times."""
_KOLMOGOROV = 1.63
"""Critical value of the two-sample Kolmogorov-Smirnov test at 1 % (Smirnov 1948)."""
_SLOWEST = 0.01


@dataclass(frozen=True)
class Limits:
    """What a canary is allowed."""

    error_margin: float = 0.01
    """How much larger its share of failed photos may be, and of refused ones."""
    p99_ratio: float = 1.5
    """How many times the stable version's 99th percentile of latency its own may be."""
    score_distance: float = 0.1
    """How far its distribution of a label's scores may be: the largest difference of the two cumulative shares."""
    min_photos: int = 100
    """How many photos of either version a judgement needs."""


@dataclass(frozen=True)
class Comparison:
    """One figure of both versions."""

    name: str
    fine: bool
    detail: str


def judge(stable: Figures, canary: Figures, limits: Limits) -> list[Comparison]:
    """Compare everything that was counted."""
    return [
        _photos(stable, canary, limits),
        failures(stable, canary, limits),
        _shares("refused", _refused(stable), _refused(canary), stable, canary, limits.error_margin),
        _latency(stable, canary, limits),
        _scores(stable, canary, limits),
    ]


def failures(stable: Figures, canary: Figures, limits: Limits) -> Comparison:
    """Compare the shares of photos that a version failed to answer; refusals of bad photos are none."""
    return _shares("failed", _failed(stable), _failed(canary), stable, canary, limits.error_margin)


def _photos(stable: Figures, canary: Figures, limits: Limits) -> Comparison:
    least = min(stable.photos, canary.photos)
    detail = f"{canary.photos} photos, {stable.photos} by the stable version ({limits.min_photos} needed of either)"
    return Comparison("photos", least >= limits.min_photos, detail)


def _shares(name: str, before: int, now: int, stable: Figures, canary: Figures, margin: float) -> Comparison:
    share, usual = now / max(canary.photos, 1), before / max(stable.photos, 1)
    common = (now + before) / max(canary.photos + stable.photos, 1)
    chance = _Z * math.sqrt(common * (1 - common) * (1 / max(canary.photos, 1) + 1 / max(stable.photos, 1)))
    allowed = usual + margin + chance
    detail = f"{share:.1%} of its photos, {usual:.1%} of the stable version's ({min(allowed, 1):.1%} allowed)"
    return Comparison(name, share <= allowed, detail)


def _latency(stable: Figures, canary: Figures, limits: Limits) -> Comparison:
    """Require that no more than one photo in a hundred takes longer than the ratio allows, but for chance."""
    usual, now = stable.seconds.quantile(1 - _SLOWEST), canary.seconds.quantile(1 - _SLOWEST)
    slow = canary.seconds.share_above(limits.p99_ratio * usual)
    chance = _Z * math.sqrt(_SLOWEST * (1 - _SLOWEST) / max(canary.seconds.total, 1))
    detail = f"p99 {now * 1e3:.0f} ms, {usual * 1e3:.0f} ms of the stable version ({limits.p99_ratio:g} times allowed)"
    return Comparison("latency", slow <= _SLOWEST + chance, detail)


def _scores(stable: Figures, canary: Figures, limits: Limits) -> Comparison:
    distances = {
        label: _distance(stable.scores[label], canary.scores[label])
        for label in canary.scores
        if label in stable.scores
    }
    if not distances:
        return Comparison("scores", True, "no label that both versions have was scored")
    # The label that goes furthest beyond what is allowed to it.
    label = max(distances, key=lambda each: distances[each] - _chance(stable.scores[each], canary.scores[each]))
    allowed = limits.score_distance + _chance(stable.scores[label], canary.scores[label])
    detail = f"largest distance {distances[label]:.2f}, of {label} ({allowed:.2f} allowed)"
    return Comparison("scores", distances[label] <= allowed, detail)


def _distance(one: Histogram, other: Histogram) -> float:
    """Return the Kolmogorov-Smirnov distance of two histograms with the same bounds."""
    largest = below_one = below_other = 0.0
    for count_one, count_other in zip(one.counts, other.counts, strict=False):
        below_one += count_one / max(one.total, 1)
        below_other += count_other / max(other.total, 1)
        largest = max(largest, abs(below_one - below_other))
    return largest


def _chance(one: Histogram, other: Histogram) -> float:
    return _KOLMOGOROV * math.sqrt(1 / max(one.total, 1) + 1 / max(other.total, 1))


def _refused(figures: Figures) -> int:
    return sum(figures.outcomes[name] for name in contract.REFUSALS)


def _failed(figures: Figures) -> int:
    return figures.photos - figures.outcomes["ok"] - _refused(figures)
