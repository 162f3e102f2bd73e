"""Between what a share lies that was counted on few."""

from __future__ import annotations

import math

_Z = 1.959964
"""Of the normal distribution, for 95 %."""


def interval(right: int, count: int) -> tuple[float, float]:
    """Return between what the share of all lies in 95 of 100 samples such as this one.

    Wilson's interval (1927), which holds for few and for shares near 0 and 1 too.

    Parameters
    ----------
    right
        How many of the sample are right.
    count
        How many there are, at least one.
    """
    share, spread = right / count, _Z * _Z / count
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)
