"""What this proxy has seen, by version and by route: what Prometheus reads from ``/metrics``.

Several workers keep their values in files of the folder ``PROMETHEUS_MULTIPROC_DIR``, and whichever of them is
asked adds them up. prometheus_client chooses between files and memory once, while it is imported: the variable
must be set before this module is.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from http import HTTPStatus

from flask import Blueprint, Flask, Request, Response, current_app
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from proxy.exchange import Exchange, watch
from proxy.labels import Labelling
from proxy.model_server import Scored
from proxy.problems import OVERLOADED
from proxy.settings import FIGURES_FOLDER
from scenery import contract

OK = "ok"
LATEST = "latest"
"""The ``version_label`` of photos that were sent without one."""

UNKNOWN = "unknown"
"""The ``route`` of requests that fit none, and the ``version_label`` of those that name one that nobody knows: what
callers make up must not become a series each.
"""

SHED = frozenset({OVERLOADED, "rate-limited"})
"""Problems that are nobody's mistake: there was too much to do."""

SECONDS = tuple(float(f"{0.001 * 30000 ** (step / 46):.4g}") for step in range(47))
"""Bounds from 1 ms to 30 s, each 1.25 times the one before, so that a percentile read from them is as near."""

SCORES = tuple(step / 20 for step in range(1, 21))

blueprint = Blueprint("figures", __name__)
disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series, and nobody reads them


_OfVersion = tuple[Counter, Histogram, Callable[[str], Histogram]]


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
        self._sampled = self._counter("scenery_sample_photos", "Photos chosen to be kept.", "reason", "outcome")
        self._requests = self._counter("scenery_requests", "Requests that were answered.", "route", "status")
        self._request_seconds = Histogram(
            "scenery_request_seconds",
            "From the request's headers until its answer was ready to be sent.",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "scenery_requests_in_flight",
            "Requests that are being answered, those for this page left out.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._refused = self._counter("scenery_refused", "Requests and photos refused for what they are.", "reason")
        self._shed = self._counter("scenery_shed", "Requests and photos turned away for their number.", "reason")
        self._of_versions: dict[tuple[str, str], _OfVersion] = {}
        self._of_requests: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def answered(self, version_label: str | None, scored: Scored, labelling: Labelling) -> None:
        """Count a photo that got its scores from the version of a label, or from the latest if None."""
        count, seconds, scores = self._found_of_version(version_label or LATEST, str(scored.version))
        count.inc()
        seconds.observe(scored.seconds)
        for label, score in labelling.scores.items():
            scores(label).observe(score)

    def _found_of_version(self, asked: str, version: str) -> _OfVersion:
        """Return a version's figures; remembered, since to find them costs more than to count."""
        found = self._of_versions.get((asked, version))
        if found is None:
            scores = functools.cache(lambda label: self._scores.labels(asked, version, label))
            found = self._photos.labels(asked, version, OK), self._seconds.labels(asked, version), scores
            self._of_versions[asked, version] = found
        return found

    def failed(self, version_label: str | None, version: int | None, problem: str) -> None:
        """Count a photo that got no scores, by the problem's name; ``version`` if one is known to have answered."""
        is_made_up = version is None and version_label not in (None, contract.LABEL_STABLE, contract.LABEL_CANARY)
        self._photos.labels(UNKNOWN if is_made_up else version_label or LATEST, _name(version), problem).inc()

    def shadowed(self, answered: int, shadowed: int | None, outcome: str) -> None:
        """Count a photo that ``answered`` gave labels to and another version was to be asked about."""
        self._shadow_photos.labels(str(answered), _name(shadowed), outcome).inc()

    def compared(self, answered: int, shadowed: int, labels: Iterable[str], given_by_one: set[str]) -> None:
        """Count the labels that only one of two versions gave; those of ``labels`` they agree on show as 0."""
        for label in labels:
            self._disagreements.labels(str(answered), str(shadowed), label).inc(label in given_by_one)

    def sampled(self, reason: str, outcome: str) -> None:
        """Count a photo that was chosen to be kept, by why it was and what became of it."""
        self._sampled.labels(reason, outcome).inc()

    def request_begun(self) -> None:
        """Count a request as in flight, until :meth:`request_over`."""
        self._in_flight.inc()

    def request_over(self) -> None:
        """Take a request out of those in flight."""
        self._in_flight.dec()

    def request_answered(self, route: str, status: int, seconds: float | None) -> None:
        """Count a request by the rule that its path fits, or :data:`UNKNOWN`, and its answer's status.

        ``seconds`` is None for one that was turned away: those that were let in would look the faster for it.
        """
        found = self._of_requests.get((route, status))
        if found is None:  # remembered, since to find them costs more than to count
            found = self._requests.labels(route, status), self._request_seconds.labels(route)
            self._of_requests[route, status] = found
        count, histogram = found
        count.inc()
        if seconds is not None:
            histogram.observe(seconds)

    def refused(self, problem: str, status: int) -> None:
        """Count a request, or one photo of several, that was answered with a problem.

        Failures, which are 5xx and not :data:`SHED`, are counted where they happen: by :meth:`failed`, and as
        the request's status.
        """
        if problem in SHED:
            self._shed.labels(problem).inc()
        elif status < HTTPStatus.INTERNAL_SERVER_ERROR:
            self._refused.labels(problem).inc()

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


def register_figures(app: Flask, counted: Figures) -> None:
    """Count every request of ``app`` once, however it ends, and the problem that its answer tells.

    Of a request with several photos, who answers each on its own tells :meth:`Figures.refused` of those that failed.
    """
    app.extensions["figures"] = counted

    def begin(asked: Request) -> None:
        if asked.endpoint != _SCRAPE:
            counted.request_begun()

    def end(exchange: Exchange) -> None:
        if exchange.request.endpoint != _SCRAPE:
            counted.request_over()
        counted.request_answered(exchange.route or UNKNOWN, exchange.status, exchange.seconds)
        if exchange.problem is not None:
            counted.refused(exchange.problem, exchange.status)

    watch(app, begin, end)


_SCRAPE = "figures.metrics"
"""The endpoint of the page: if it counted as in flight, nobody would ever read 0."""


def forget_worker(pid: int) -> None:
    """Take what a worker that ended had in flight out of the sum; the master calls it, however the worker ended.

    What the worker has counted stays.
    """
    if FIGURES_FOLDER in os.environ:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _name(version: int | None) -> str:
    return "" if version is None else str(version)
