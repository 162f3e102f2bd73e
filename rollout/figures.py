"""What proxies count of the versions, read from their ``/metrics`` pages."""

from __future__ import annotations

import http.client
import math
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

from scenery.errors import RolloutError

TIMEOUT_SECONDS = 5.0

Labels = frozenset[tuple[str, str]]
Samples = Mapping[tuple[str, Labels], float]
"""Values by name and labels."""


@dataclass(frozen=True)
class Histogram:
    """How many values lie up to each bound, and above the one before."""

    bounds: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()

    @property
    def total(self) -> float:
        """How many values there are."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """Return the value below which this share lies, values being spread evenly in a bin; NaN if there are none."""
        below = 0.0
        for lower, upper, count in self._bins():
            if count and below + count >= share * self.total:
                return lower if math.isinf(upper) else lower + (upper - lower) * (share * self.total - below) / count
            below += count
        return float("nan")

    def share_above(self, value: float) -> float:
        """Return the share of the values that are above a value, likewise; 0 if there are none."""
        above = 0.0
        for lower, upper, count in self._bins():
            if lower >= value:
                above += count
            elif upper > value and not math.isinf(upper):
                above += count * (upper - value) / (upper - lower)
        return above / self.total if self.total else 0.0

    def _bins(self) -> Iterator[tuple[float, float, float]]:
        """Yield the lower bound, the upper one and the count of each bin."""
        yield from zip((0.0, *self.bounds), self.bounds, self.counts, strict=False)


@dataclass(frozen=True)
class Figures:
    """The photos that were sent to one label's version."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """How many ended so: ``ok``, or the name of a problem."""
    seconds: Histogram = Histogram()
    """Until the answer, of those that ended well."""
    scores: Mapping[str, Histogram] = field(default_factory=dict)
    """By the model's labels, such as ``beach``."""

    @property
    def photos(self) -> int:
        """How many there are."""
        return sum(self.outcomes.values())


@dataclass(frozen=True)
class Shadow:
    """Photos that two versions were asked about."""

    compared: int
    disagreements: Mapping[str, int]
    """By the model's labels: photos that one version gave the label and the other did not."""
    failed: int
    """Photos that the second version did not answer, or that were dropped."""


def read_page(proxy: str) -> Samples:
    """Return what a proxy counts; raises :class:`RolloutError` if it does not tell."""
    # Never by way of a web proxy that the environment may name: the proxies are neighbours.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{proxy.rstrip('/')}/metrics", timeout=TIMEOUT_SECONDS) as response:
            text = response.read().decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise RolloutError(
            f"The proxy at {proxy} does not tell its figures ({reason}). Start it, or name it with --proxy."
        ) from error


def increase(before: Samples, now: Samples) -> Samples:
    """Return what a proxy counted in between; if a count fell, it was restarted and counted from zero."""
    if any(now.get(key, 0) < value for key, value in before.items()):
        return now
    return {key: value - before.get(key, 0) for key, value in now.items()}


def added(pages: Iterable[Samples]) -> Samples:
    """Return the sum of several counts."""
    total: Counter[tuple[str, Labels]] = Counter()
    for page in pages:
        total.update(page)
    return total


def figures_of(samples: Samples, version_label: str) -> Figures:
    """Return the figures of the version that a label, such as ``canary``, stands for."""
    outcomes: Counter[str] = Counter()
    buckets: dict[tuple[str, str], Counter[float]] = {}
    for (name, labels), value in samples.items():
        of = dict(labels)
        if of.get("version_label") != version_label:
            continue
        if name == "scenery_photos_total":
            outcomes[of["outcome"]] += int(value)
        elif name.endswith("_bucket"):
            buckets.setdefault((name, of.get("label", "")), Counter())[float(of["le"])] += value  # type: ignore[assignment]
    return Figures(
        outcomes,
        _histogram(buckets.get(("scenery_photo_seconds_bucket", ""), {})),
        {label: _histogram(each) for (name, label), each in buckets.items() if name == "scenery_photo_score_bucket"},
    )


def shadow_of(samples: Samples, versions: Sequence[int]) -> Shadow:
    """Return how two versions differed, whichever of them gave the answer that the caller saw."""
    pair = {str(version) for version in versions}
    compared = failed = 0
    disagreements: Counter[str] = Counter()
    for (name, labels), value in samples.items():
        of = dict(labels)
        if of.get("answered") not in pair or of.get("shadowed") not in {*pair, ""} - {of.get("answered")}:
            continue
        if name == "scenery_shadow_disagreements_total":
            disagreements[of["label"]] += int(value)
        elif name == "scenery_shadow_photos_total" and of["outcome"] == "ok":
            compared += int(value)
        elif name == "scenery_shadow_photos_total":
            failed += int(value)
    return Shadow(compared, disagreements, failed)


def _histogram(cumulative: Mapping[float, float]) -> Histogram:
    """Turn Prometheus' "so many up to here" into counts of single bins."""
    bounds = tuple(sorted(cumulative))
    below = [0.0, *(cumulative[bound] for bound in bounds)]
    return Histogram(bounds, tuple(after - before for before, after in pairwise(below)))
