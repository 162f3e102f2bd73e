"""Each request of an application and its answer, as those see it who watch: figures, log and traces.

By Flask's signals, not its hooks: they come before the first hook and after the last one, so it does not
matter what else is registered, and when.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask, Request, Response, g, request, request_finished, request_started, request_tearing_down

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Routes that somebody asks every few seconds."""


@dataclass(frozen=True)
class Exchange:
    """A request that has its answer, or came to a defect without one."""

    request: Request
    route: str | None
    """The rule that its path fits; None if there is none, or not for its method."""
    status: int
    problem: str | None
    """The name of the problem that the answer tells, such as ``too-many-pixels``."""
    seconds: float
    """From the request's headers until its answer was ready to be sent."""
    response: Response | None


def watch(app: Flask, begin: Callable[[Request], None], end: Callable[[Exchange], None]) -> None:
    """Have ``begin`` and ``end`` called in the context of every request of ``app``, each once, however it goes."""
    if "exchange" not in app.extensions:
        app.extensions["exchange"] = []
        request_started.connect(_begin, app)
        request_finished.connect(_see, app)
        request_tearing_down.connect(_end, app)
    app.extensions["exchange"].append((begin, end))


def running_request() -> Request:
    """Return the running request itself; Flask's ``request`` looks it up again at each use."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined]
    return found


def route_of(asked: Request) -> str | None:
    """Return the route of a request, as :class:`Exchange` has it."""
    rule = asked.url_rule
    return None if rule is None else rule.rule


def _begin(app: Flask, **_: Any) -> None:
    asked = running_request()
    g.exchange = asked, time.perf_counter()
    for begin, _ in app.extensions["exchange"]:
        begin(asked)


def _see(_: Flask, response: Response, **__: Any) -> None:
    g.exchange_response = response


def _end(app: Flask, **_: Any) -> None:
    asked, begun = g.pop("exchange", (None, 0.0))
    if asked is None:
        return
    seconds = time.perf_counter() - begun
    response: Response | None = g.get("exchange_response")
    status = HTTPStatus.INTERNAL_SERVER_ERROR if response is None else response.status_code
    exchange = Exchange(asked, route_of(asked), int(status), g.get("problem_name"), seconds, response)
    for _, end in reversed(app.extensions["exchange"]):
        end(exchange)
