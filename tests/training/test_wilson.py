"""Intervals of shares."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from training.wilson import interval


@pytest.mark.parametrize("count", [1, 7, 400])
def test_intervals_are_those_of_scipy(count):
    """From none right to all right, the bounds are those of another program."""
    for right in range(count + 1):
        expected = binomtest(right, count).proportion_ci(method="wilson")
        assert interval(right, count) == pytest.approx((expected.low, expected.high), abs=1e-6)
