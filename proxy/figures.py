"""What this proxy has seen, by version: counters and histograms that Prometheus reads from ``/metrics``.

Several workers keep their values in files of the folder ``PROMETHEUS_MULTIPROC_DIR``, and whichever of them is
asked adds them up. prometheus_client chooses between files and memory once, while it is imported: the variable
must be set before this module is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from flask import Blueprint, Response, current_app
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from proxy.labels import Labelling
from proxy.model_server import Scored
from proxy.settings import FIGURES_FOLDER

OK = "ok"
LATEST = "latest"
"""The ``version_label`` of photos that were sent without one."""

SECONDS = tuple(float(f"{0.001 * 30000 ** (step / 46):.4g}") for step in range(47))
"""Bounds from 1 ms to 30 s, each 1.25 times the one before, so that a percentile read from them is as near."""

SCORES = tuple(step / 20 for step in range(1, 21))

blueprint = Blueprint("figures", __name__)
disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series, and nobody reads them


class Figures:
    """The figures of one application. Threads share it.

    Every version that has answered keeps its series until the proxy restarts: some tens of kilobytes each.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._photos = self._counter(
            "scenery_photos", "Photos that the model server was asked about.", "version_label", "version", "outcome"
        )
        self._seconds = Histogram(
            "scenery_photo_seconds",
            "From sending a photo to the model server until its answer was read, of those answered.",
            ("version_label", "version"),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._scores = Histogram(
            "scenery_photo_score",
            "Scores given to photos.",
            ("version_label", "version", "label"),
            buckets=SCORES,
            registry=self._registry,
        )
        self._shadow_photos = self._counter(
            "scenery_shadow_photos", "Photos that another version got as well.", "answered", "shadowed", "outcome"
        )
        self._disagreements = self._counter(
            "scenery_shadow_disagreements",
            "Photos that exactly one of two versions gave the label to.",
            "answered",
            "shadowed",
            "label",
        )

    def answered(self, version_label: str | None, scored: Scored, labelling: Labelling) -> None:
        """Count a photo that got its scores from the version of a label, or from the latest if None."""
        asked, version = version_label or LATEST, str(scored.version)
        self._photos.labels(asked, version, OK).inc()
        self._seconds.labels(asked, version).observe(scored.seconds)
        for label, score in labelling.scores.items():
            self._scores.labels(asked, version, label).observe(score)

    def failed(self, version_label: str | None, version: int | None, problem: str) -> None:
        """Count a photo that got no scores, by the problem's name; ``version`` if one is known to have answered."""
        self._photos.labels(version_label or LATEST, _name(version), problem).inc()

    def shadowed(self, answered: int, shadowed: int | None, outcome: str) -> None:
        """Count a photo that ``answered`` gave labels to and another version was to be asked about."""
        self._shadow_photos.labels(str(answered), _name(shadowed), outcome).inc()

    def compared(self, answered: int, shadowed: int, labels: Iterable[str], given_by_one: set[str]) -> None:
        """Count the labels that only one of two versions gave; those of ``labels`` they agree on show as 0."""
        for label in labels:
            self._disagreements.labels(str(answered), str(shadowed), label).inc(label in given_by_one)

    def page(self) -> bytes:
        """Return all figures in Prometheus' text format, those of other workers added."""
        registry = self._registry
        if FIGURES_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Show the figures to Prometheus."""
    return Response(figures().page(), content_type=CONTENT_TYPE_LATEST)


def figures() -> Figures:
    """Return the running application's figures."""
    found: Figures = current_app.extensions["figures"]
    return found


def _name(version: int | None) -> str:
    return "" if version is None else str(version)
