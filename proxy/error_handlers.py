"""Every error of the application as a problem document, Flask's own and defects too."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge

from proxy.problems import MEDIA_TYPE, ProblemError, problem, stalled, status_name

log = logging.getLogger(__name__)

DRAINED_BYTES = 64 * 2**20
"""How much of a body that is too large is read before the connection is closed on its sender."""


def answer(error: ProblemError) -> Response:
    """Return the answer that carries a problem, and leave its name to those who watch."""
    g.problem_name = error.name
    return Response(error.body(), error.status.value, error.all_headers(), content_type=MEDIA_TYPE)


def register_error_handlers(app: Flask) -> None:
    """Handle everything that a request of ``app`` may raise."""
    app.register_error_handler(ProblemError, answer)
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.register_error_handler(ClientDisconnected, silent_client)  # how werkzeug tells that a read failed
    app.register_error_handler(BlockingIOError, silent_client)
    app.register_error_handler(ConnectionResetError, silent_client)
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(Exception, _defect)


def _too_large(_: RequestEntityTooLarge) -> Response:
    response = answer(_too_large_for(request.max_content_length))
    response.call_on_close(partial(_drain, request.environ))  # the answer goes first
    return response


def _too_large_for(limit: int | None) -> ProblemError:
    if limit is None or (request.content_length is not None and request.content_length <= limit):
        detail = "The form has too many parts, or a photo without a file name. Send photos as file parts."
        return problem("bad-form", detail)
    detail = f"The request has more than {limit} bytes. Send a smaller photo, or raise SCENERY_MAX_BODY_BYTES."
    return problem("too-many-bytes", detail)


def _drain(environ: dict[str, Any]) -> None:
    """Read on and throw away: closed while it still sends, a client would see a reset, not the answer."""
    from gunicorn.http.errors import ParseException  # other servers raise OSError alone

    left = min(int(environ.get("CONTENT_LENGTH") or DRAINED_BYTES), DRAINED_BYTES)
    with suppress(OSError, ParseException):  # it stalls, or breaks HTTP: nothing more is to come
        while left > 0 and (chunk := environ["wsgi.input"].read(min(left, 2**16))):
            left -= len(chunk)


def silent_client(_: Exception) -> Response:
    """Answer who stopped in the middle of a request."""
    return answer(stalled())


def _http_exception(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or 500)
    allow = {key: value for key, value in error.get_headers() if key == "Allow"}
    detail = _WORDS.get(status) or error.description or status.description
    return answer(ProblemError(status, status_name(status), detail, allow))


_WORDS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this path. /docs shows what there is.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This path has another method; the header Allow names it.",
}


def _defect(error: Exception) -> Response:
    log.exception("A request failed by a defect of the proxy", exc_info=error)
    return answer(problem("internal-server-error", "The proxy failed to handle this request; its log says why."))
