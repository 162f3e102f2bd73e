"""A version must not be slower than the one that serves; measured in turns, so that a busy machine slows both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from export.gate.quality import Serving
from export.gate.verdict import Finding
from scenery.loaded import LoadedVersion

RATIO = 1.25
"""How much slower than the serving version a candidate may be."""

_WARMUP_PHOTOS = 5
_PAIRS = 60
_ATTEMPTS = 3
"""A refusal must be seen so often in a row: what else runs on the machine comes and goes."""


def check_latency(candidate: LoadedVersion, serving: Serving | None, photos: Sequence[bytes], ratio: float) -> Finding:
    """Compare the time of a photo, in-process and one at a time, with the serving version's.

    It is the lower quartile of sixty: other programs only ever add to a time.

    Parameters
    ----------
    photos
        Encoded; taken in turns, each by both versions.
    ratio
        The candidate's time may be this much times the serving version's.
    """
    if serving is None:
        (ours,) = _milliseconds([candidate], photos)
        figures = {"photos": _PAIRS, "milliseconds": round(ours, 2), "allowed_ratio": ratio}
        return Finding(True, f"{ours:.1f} ms a photo; nothing serves that it could be compared with", figures)
    for _ in range(_ATTEMPTS):
        ours, theirs = _milliseconds([candidate, serving.loaded], photos)
        if ours <= ratio * theirs:
            break
    figures = {
        "photos": _PAIRS,
        "milliseconds": round(ours, 2),
        "against": serving.number,
        "serving_milliseconds": round(theirs, 2),
        "ratio": round(ours / theirs, 3),
        "allowed_ratio": ratio,
    }
    detail = (
        f"{ours:.1f} ms a photo, version {serving.number} {theirs:.1f} ms: {ours / theirs:.2f} times as long "
        f"({ratio:g} allowed)"
    )
    return Finding(ours <= ratio * theirs, detail, figures)


def _milliseconds(contenders: Sequence[LoadedVersion], photos: Sequence[bytes]) -> list[float]:
    """Return the lower quartile of each contender's times, in ms; they take turns at being first."""
    times: dict[LoadedVersion, list[float]] = {each: [] for each in contenders}
    for place in range(_WARMUP_PHOTOS + _PAIRS):
        photo = photos[place % len(photos)]
        for each in contenders if place % 2 else reversed(contenders):
            begun = time.perf_counter()
            each.classify(photo)
            times[each].append((time.perf_counter() - begun) * 1e3)
    return [statistics.quantiles(taken[_WARMUP_PHOTOS:], n=4)[0] for taken in times.values()]
