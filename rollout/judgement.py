"""Is a canary as good as the stable version? A pure function of what proxies counted of both.

Each comparison allows for chance: a difference counts only beyond what samples of these sizes show
about once in a hundred times when there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rollout.figures import Figures, Histogram
from scenery import contract

_Z = 2.33
"""Standard deviations that a normal variable exceeds once in a hundred times."""
_KOLMOGOROV = 1.63
"""Critical value of the two-sample Kolmogorov-Smirnov test at 1 % (Smirnov 1948)."""
_SLOWEST = 0.01
_FEWEST = 3
"""Fewer failures than that are nobody's fault, whatever their share: they may be one request's."""

OFTEN = 3.5
"""The same for a comparison that is made again every second: one in four thousand, so that a watch stays honest."""


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
        _shares("refused", _refused, stable, canary, limits.error_margin, _Z),
        _latency(stable, canary, limits),
        _scores(stable, canary, limits),
    ]


def failures(stable: Figures, canary: Figures, limits: Limits, deviations: float = _Z) -> Comparison:
    """Compare the shares of photos that a version failed to answer; refusals of bad photos are none."""
    return _shares("failed", _failed, stable, canary, limits.error_margin, deviations)


def _photos(stable: Figures, canary: Figures, limits: Limits) -> Comparison:
    now, usual = canary.outcomes["ok"], stable.outcomes["ok"]
    detail = f"{now} photos answered, {usual} by the stable version ({limits.min_photos} needed of either)"
    return Comparison("photos", min(now, usual) >= limits.min_photos, detail)


def _shares(
    name: str, count: Callable[[Figures], int], stable: Figures, canary: Figures, margin: float, deviations: float
) -> Comparison:
    now, before = count(canary), count(stable)
    share, usual = now / max(canary.photos, 1), before / max(stable.photos, 1)
    common = (now + before) / max(canary.photos + stable.photos, 1)
    chance = deviations * math.sqrt(common * (1 - common) * (1 / max(canary.photos, 1) + 1 / max(stable.photos, 1)))
    allowed = usual + margin + chance
    detail = (
        f"{100 * share:.1f} % of its photos, {100 * usual:.1f} % of the stable version's "
        f"({100 * min(allowed, 1):.1f} % allowed)"
    )
    return Comparison(name, now < _FEWEST or share <= allowed, detail)


def _latency(stable: Figures, canary: Figures, limits: Limits) -> Comparison:
    """Require that no more than one photo in a hundred takes longer than the ratio allows, but for chance."""
    if not (stable.seconds.total and canary.seconds.total):
        return Comparison("latency", False, "no answer's time was counted")
    usual, now = stable.seconds.quantile(1 - _SLOWEST), canary.seconds.quantile(1 - _SLOWEST)
    slow = canary.seconds.share_above(limits.p99_ratio * usual)
    chance = _Z * math.sqrt(_SLOWEST * (1 - _SLOWEST) / max(canary.seconds.total, 1))
    detail = f"p99 {now * 1e3:.0f} ms, {usual * 1e3:.0f} ms of the stable version ({limits.p99_ratio:g} times allowed)"
    return Comparison("latency", slow <= _SLOWEST + chance, detail)


def _scores(stable: Figures, canary: Figures, limits: Limits) -> Comparison:
    """Compare the distributions of every label of the stable version; the one that goes furthest beyond is told."""
    missing = sorted(label for label, each in stable.scores.items() if each.total and label not in canary.scores)
    if missing or not stable.scores:
        told = f"{missing[0]} is not among its labels" if missing else "no scores were counted"
        return Comparison("scores", False, told)
    pairs = {label: (each, canary.scores[label]) for label, each in stable.scores.items() if each.total}
    unproven = [label for label, pair in pairs.items() if min(each.total for each in pair) < limits.min_photos]
    if unproven or not pairs:
        return Comparison(
            "scores", False, f"less than {limits.min_photos} scores of {', '.join(unproven) or 'any label'}"
        )
    label = max(pairs, key=lambda each: _distance(*pairs[each]) - _chance(*pairs[each]))
    distance, allowed = _distance(*pairs[label]), limits.score_distance + _chance(*pairs[label])
    detail = f"largest distance {distance:.2f}, of {label} ({allowed:.2f} allowed)"
    return Comparison("scores", distance <= allowed, detail)


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
