"""A canary is judged by what proxies counted of both versions."""

from __future__ import annotations

from collections import Counter

import pytest

from rollout.figures import Figures, Histogram, figures_of, increase, shadow_of
from rollout.judgement import Limits, judge
from scenery import contract

BOUNDS = (0.01, 0.02, 0.04, 0.08, 0.16, float("inf"))
TENTHS = tuple(place / 10 for place in range(1, 11))
FAST = (900, 80, 10, 10, 0, 0)
SURE = (500, 0, 0, 0, 0, 0, 0, 0, 0, 500)


def figures(ok: int = 1000, seconds=FAST, scores=SURE, **outcomes: int) -> Figures:
    named = {name.replace("_", "-"): count for name, count in outcomes.items()}
    scale = ok / 1000
    return Figures(
        Counter({"ok": ok} | named),
        Histogram(BOUNDS, tuple(each * scale for each in seconds)),
        {"beach": Histogram(TENTHS, tuple(each * scale for each in scores))},
    )


def bad(canary: Figures, stable: Figures | None = None, **limits: float) -> set[str]:
    return {each.name for each in judge(stable or figures(), canary, Limits(**limits)) if not each.fine}


def test_the_same_figures_are_fine():
    """A version that does what the other does passes, be it with a tenth of the photos."""
    assert bad(figures()) == set()
    assert bad(figures(ok=100)) == set()


def test_too_few_photos_prove_nothing():
    """Neither version may have been asked too seldom."""
    assert bad(figures(ok=99)) == {"photos", "scores"}
    assert bad(figures(), stable=figures(ok=10)) == {"photos", "scores"}
    assert bad(Figures(), stable=Figures()) == {"photos", "latency", "scores"}
    refused = Figures(Counter({contract.REFUSED_DAMAGED: 200}))
    assert bad(refused, stable=refused) == {"photos", "latency", "scores"}


@pytest.mark.parametrize(
    ("outcomes", "name"),
    [({"model_server_failed": 60}, "failed"), ({contract.REFUSED_DAMAGED: 60}, "refused")],
)
def test_more_errors_are_bad(outcomes, name):
    """Failures and refusals count apart; both versions having them is nobody's fault."""
    assert bad(figures(**outcomes)) == {name}
    assert bad(figures(**outcomes), stable=figures(**outcomes)) == set()
    assert bad(figures(**outcomes), error_margin=0.1) == set()


def test_one_error_in_a_hundred_may_be_chance():
    """A single failure of few photos does not condemn; the same share of many does."""
    assert bad(figures(ok=100, model_server_failed=2)) == set()
    assert bad(figures(ok=10_000, model_server_failed=300), stable=figures(ok=10_000)) == {"failed"}


def test_scores_that_are_no_numbers_or_of_other_labels_are_bad():
    """A canary whose scores are not in the figures, or that lost a label, is not promoted."""
    nan = Figures(Counter({"ok": 1000}), Histogram(BOUNDS, FAST), {"beach": Histogram(TENTHS, (0,) * 10)})
    assert bad(nan) == {"scores"}
    other = Figures(Counter({"ok": 1000}), Histogram(BOUNDS, FAST), {"shore": Histogram(TENTHS, SURE)})
    (told,) = (each for each in judge(figures(), other, Limits()) if not each.fine)
    assert told.detail == "beach is not among its labels"


def test_slower_photos_are_bad():
    """One photo in ten beyond the allowed ratio is too many; the ratio can be raised."""
    slow = figures(seconds=(800, 80, 10, 10, 100, 0))
    assert bad(slow) == {"latency"}
    assert bad(slow, p99_ratio=5) == set()
    assert bad(figures(seconds=(0, 990, 0, 10, 0, 0))) == set()


def test_other_scores_are_bad():
    """A version whose scores moved by more than chance and the margin is told by the label."""
    unsure = figures(scores=(250, 0, 0, 0, 250, 250, 0, 0, 0, 250))
    (told,) = (each for each in judge(figures(), unsure, Limits()) if not each.fine)
    assert told.name == "scores"
    assert "0.25, of beach" in told.detail
    assert bad(unsure, score_distance=0.3) == set()
    assert bad(figures(ok=100, scores=(470, 30, 0, 0, 0, 0, 0, 0, 0, 500))) == set()


def test_percentiles_are_read_between_the_bounds():
    """Values are taken as spread evenly in their bin, so that a ratio means what it says."""
    histogram = Histogram((0.01, 0.02, float("inf")), (0, 100, 0))
    assert histogram.quantile(0.5) == pytest.approx(0.015)
    assert histogram.share_above(0.0125) == pytest.approx(0.75)
    assert histogram.share_above(0.03) == 0


def labels(**pairs: str) -> frozenset:
    return frozenset(pairs.items())


def test_counts_begin_anew_after_a_restart():
    """What a proxy counted before it was watched is left out, and a restart makes nothing negative."""
    ok = ("scenery_photos_total", labels(version_label="canary", version="2", outcome="ok"))
    assert figures_of(increase({ok: 50}, {ok: 80}), "canary").photos == 30
    assert figures_of(increase({ok: 50}, {ok: 20}), "canary").photos == 20
    assert figures_of(increase({}, {ok: 20}), "stable").photos == 0

    def buckets(*counts: int) -> dict:
        name = "scenery_photo_seconds_bucket"
        bounds = zip(("0.01", "0.02", "+Inf"), counts, strict=True)
        return {(name, labels(version_label="canary", version="2", le=le)): count for le, count in bounds}

    # One bucket is higher than before, and yet all were counted anew.
    counted = figures_of(increase(buckets(90, 100, 100), buckets(80, 120, 130)), "canary")
    assert counted.seconds.counts == (80, 40, 10)


def test_a_shadow_is_counted_both_ways_round():
    """Whichever of the two answered the caller; pairs with other versions do not count."""

    def photos(answered: str, shadowed: str, outcome: str = "ok"):
        name = "scenery_shadow_photos_total"
        return (name, labels(answered=answered, shadowed=shadowed, outcome=outcome))

    def differ(answered: str, shadowed: str, label: str):
        name = "scenery_shadow_disagreements_total"
        return (name, labels(answered=answered, shadowed=shadowed, label=label))

    samples = {
        photos("1", "2"): 30,
        photos("2", "1"): 10,
        photos("1", "3"): 99,
        photos("1", "", "dropped"): 4,
        differ("1", "2", "beach"): 3,
        differ("2", "1", "beach"): 1,
        differ("1", "2", "city"): 0,
        differ("1", "3", "city"): 7,
    }
    shadow = shadow_of(samples, [1, 2])
    assert (shadow.compared, shadow.failed) == (40, 4)
    assert shadow.disagreements == {"beach": 4, "city": 0}
