"""Turns requests away at the door while the model servers have enough to do, for a tenth of what Flask would take."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Flask

from proxy import request_id
from proxy.admission import Admission
from proxy.figures import Figures
from proxy.problems import MEDIA_TYPE, ProblemError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

COMPLAINT_SECONDS = 1.0
"""How often the log tells of it: under overload a line for each would be a load of its own."""

_REQUEST_ID = "HTTP_" + request_id.HEADER.upper().replace("-", "_")


class Shedding:
    """Answers for an application while there is no place left. Threads share it."""

    def __init__(self, app: WSGIApplication, paths: frozenset[str], admission: Admission, figures: Figures) -> None:
        self._app = app
        self._paths = paths
        self._admission = admission
        self._figures = figures
        self._counting = threading.Lock()
        self._untold = 0
        self._told_at = time.monotonic()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or have it answered; its body is left where it is."""
        if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].rstrip("/") in self._paths:
            try:
                self._admission.check()
            except ProblemError as error:
                return self._turn_away(error, environ, start_response)
        return self._app(environ, start_response)

    def _turn_away(
        self, error: ProblemError, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        self._count(error, environ["PATH_INFO"])
        body = error.body()
        headers = error.all_headers() | {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(body)),
            request_id.HEADER: request_id.chosen(environ.get(_REQUEST_ID, "")),
        }
        start_response(f"{error.status.value} {error.status.phrase}", list(headers.items()))
        return [body]

    def _count(self, error: ProblemError, path: str) -> None:
        self._figures.refused(error.name, HTTPStatus.SERVICE_UNAVAILABLE)
        self._figures.request_answered(path, HTTPStatus.SERVICE_UNAVAILABLE, None)
        with self._counting:
            self._untold += 1
            now = time.monotonic()
            if now - self._told_at < COMPLAINT_SECONDS:
                return
            untold, self._untold, self._told_at = self._untold, 0, now
        log.warning("Requests turned away, %d since this was last told: %s", untold, error.detail)


def register_shedding(app: Flask, endpoints: frozenset[str], admission: Admission, figures: Figures) -> None:
    """Let what would end at some endpoints of ``app`` pass only while there is a place."""
    paths = frozenset(rule.rule.rstrip("/") for rule in app.url_map.iter_rules() if rule.endpoint in endpoints)
    app.wsgi_app = Shedding(app.wsgi_app, paths, admission, figures)  # type: ignore[method-assign]
