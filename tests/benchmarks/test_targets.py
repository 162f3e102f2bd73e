"""What is promised, and when it is kept."""

from __future__ import annotations

import pytest

from benchmarks.targets import TARGETS, Target, outcome

FASTER = Target("photos/s", 5, "ours", "theirs", at_least=True)
SWAPPED = Target("p99", 1.5, "ours", "theirs", at_least=False, none_of="lost")


def rounds(*ratios: float, lost: float = 0) -> list[dict[str, float]]:
    return [{"ours": 2 * ratio, "theirs": 2, "lost": lost} for ratio in ratios]


@pytest.mark.parametrize(("ratios", "met"), [((4, 5, 9), True), ((4.9, 4.9, 9), False)])
def test_the_median_round_decides(ratios, met):
    """One lucky round meets no target, and one bad round misses none."""
    assert outcome(FASTER, rounds(*ratios)).met is met


def test_a_ratio_is_taken_within_a_round():
    """A machine that is half as fast in one round changes no ratio."""
    slow_and_fast = [{"ours": 60, "theirs": 10}, {"ours": 120, "theirs": 20}]
    assert outcome(FASTER, slow_and_fast).ratios == [6, 6]


@pytest.mark.parametrize(("lost", "met"), [(0, True), (1, False)])
def test_what_loses_photos_is_not_met(lost, met):
    """However fast the others were answered, one lost photo misses the target."""
    assert outcome(SWAPPED, rounds(1.2, lost=lost)).met is met


def test_what_no_round_measured_is_not_told():
    """A target of a part that was left out has no outcome, neither met nor missed."""
    assert outcome(FASTER, [{"ours": 3}, {}]) is None


def test_every_target_has_a_name_of_its_own():
    """No two promises compare the same figures."""
    assert len({(target.figure, target.over) for target in TARGETS}) == len(TARGETS)
