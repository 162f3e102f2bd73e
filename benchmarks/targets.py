"""What Scenery promises: ratios of two figures of one round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders import ENGINE, SCENERY, TUTORIAL
from benchmarks.photos import LARGE, SMALL
from benchmarks.rounds import (
    DECISIONS,
    EIGHT,
    FIRST,
    FLOODED,
    IDENTICAL,
    LOST,
    MEDIAN,
    ONE,
    RATE,
    STEADY,
    SWAP_SHARE,
    SWAPPING,
    TAIL,
    Round,
    named,
    share_name,
)


@dataclass(frozen=True)
class Target:
    """A promise: one figure over another, and its bound."""

    what: str
    bound: float
    figure: str
    over: str
    at_least: bool
    none_of: str | None = None
    """A figure that must be 0 in every round."""


@dataclass(frozen=True)
class Outcome:
    """What the rounds say of a promise."""

    ratios: list[float]
    """One a round."""
    lost: int
    """Photos that must not be."""
    met: bool


_SHARE = share_name(SWAP_SHARE)


def at_least(what: str, bound: float, figure: str, over: str) -> Target:
    return Target(what, bound, figure, over, at_least=True)


def at_most(what: str, bound: float, figure: str, over: str, none_of: str | None = None) -> Target:
    return Target(what, bound, figure, over, at_least=False, none_of=none_of)


def _of(contender: str, *parts: str) -> str:
    return named(contender, SMALL, *parts)


TARGETS = (
    at_least("photos/s, 400 px, over the tutorial", 5, _of(SCENERY, EIGHT, RATE), _of(TUTORIAL, EIGHT, RATE)),
    at_least("photos/s, 400 px, over the engine", 0.85, _of(SCENERY, EIGHT, RATE), _of(ENGINE, EIGHT, RATE)),
    at_most("latency, 400 px, over the engine", 1.3, _of(SCENERY, ONE, MEDIAN), _of(ENGINE, ONE, MEDIAN)),
    at_most("latency, 12 MP over 400 px", 2.5, named(SCENERY, LARGE, ONE, MEDIAN), _of(SCENERY, ONE, MEDIAN)),
    at_least(
        "photos/s, 12 MP, over the tutorial",
        5,
        named(SCENERY, LARGE, EIGHT, RATE),
        named(TUTORIAL, LARGE, EIGHT, RATE),
    ),
    at_most(
        "first photo after a swap of versions over the median", 1.5, _of(SCENERY, FIRST), _of(SCENERY, STEADY, MEDIAN)
    ),
    at_most(
        "p99 while versions are swapped, at 70 % of the peak, over steady p99",
        1.5,
        _of(SCENERY, _SHARE, SWAPPING, TAIL),
        _of(SCENERY, _SHARE, STEADY, TAIL),
        none_of=_of(SCENERY, _SHARE, SWAPPING, LOST),
    ),
    at_least(
        "photos/s answered at three times the peak, over the peak",
        0.95,
        _of(SCENERY, FLOODED, RATE),
        _of(SCENERY, STEADY, RATE),
    ),
    at_least("label decisions as the Keras network's", 0.995, named(SCENERY, IDENTICAL), named(SCENERY, DECISIONS)),
)


def outcome(target: Target, rounds: Sequence[Round]) -> Outcome | None:
    """Judge a target by the rounds that measured it; None if none did. The median has to keep the bound."""
    measured = [each for each in rounds if target.figure in each and target.over in each]
    if not measured:
        return None
    ratios = [each[target.figure] / each[target.over] for each in measured]
    lost = int(sum(each[target.none_of] for each in measured)) if target.none_of else 0
    median = statistics.median(ratios)
    kept = median >= target.bound if target.at_least else median <= target.bound
    return Outcome(ratios, lost, kept and not lost)
