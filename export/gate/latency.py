"""A version must not be slower than the one that serves; measured in turns, so that a busy machine slows both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from export.gate.quality import Serving
from export.gate.verdict import Finding
from export.loaded import LoadedVersion

RATIO = 1.25
"""How much slower than the serving version a candidate may be."""

_WARMUP_PHOTOS = 5
_PAIRS = 60


def check_latency(candidate: LoadedVersion, serving: Serving | None, photos: Sequence[bytes], ratio: float) -> Finding:
    """Compare the median time of a photo, in-process and one at a time, with the serving version's.

    Parameters
    ----------
    photos
        Encoded; taken in turns, each by both versions.
    ratio
        The candidate's median may be this much times the serving version's.
    """
    against = serving.loaded if serving else None
    for place in range(_WARMUP_PHOTOS):
        for each in (candidate, against):
            if each is not None:
                each.classify(photos[place % len(photos)])
    ours: list[float] = []
    theirs: list[float] = []
    for place in range(_PAIRS):
        photo = photos[place % len(photos)]
        ours.append(_milliseconds(candidate, photo))
        if against is not None:
            theirs.append(_milliseconds(against, photo))
    median = statistics.median(ours)
    figures = {"photos": _PAIRS, "median_milliseconds": round(median, 2), "allowed_ratio": ratio}
    if serving is None:
        return Finding(True, f"{median:.1f} ms a photo; nothing serves that it could be compared with", figures)
    before = statistics.median(theirs)
    figures |= {"against": serving.number, "serving_median_milliseconds": round(before, 2)}
    figures["ratio"] = round(median / before, 3)
    detail = (
        f"{median:.1f} ms a photo, version {serving.number} {before:.1f} ms: {median / before:.2f} times as long "
        f"({ratio:g} allowed)"
    )
    return Finding(median <= ratio * before, detail, figures)


def _milliseconds(version: LoadedVersion, photo: bytes) -> float:
    begun = time.perf_counter()
    version.classify(photo)
    return (time.perf_counter() - begun) * 1e3
