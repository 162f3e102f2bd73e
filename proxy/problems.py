"""Errors as the proxy tells them: problem details (RFC 9457), one shape on every path.

``type`` is a stable name for programs, ``detail`` a sentence for people that says what to do.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:scenery:problem:"
RETRY_AFTER_SECONDS = 1
DRAINED_BYTES = 64 * 2**20
"""How much of a body that is too large is read before the connection is closed on its sender."""


@dataclass
class ProblemError(Exception):
    """Something that cannot be answered; raise it anywhere in a request."""

    status: HTTPStatus
    name: str
    """The last part of ``type``, such as ``too-many-pixels``."""
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """Return the members of the problem document."""
        title = self.name.replace("-", " ").capitalize()
        return {"type": TYPE_PREFIX + self.name, "title": title, "status": self.status.value, "detail": self.detail}

    def response(self) -> Response:
        """Return the answer that carries the problem."""
        response = Response(json.dumps(self.as_dict()) + "\n", self.status.value, content_type=MEDIA_TYPE)
        if self.status is HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return response


def _drain(environ: dict[str, Any]) -> None:
    """Read on and throw away: closed while it still sends, a client would see a reset, not the answer."""
    left = min(int(environ.get("CONTENT_LENGTH") or DRAINED_BYTES), DRAINED_BYTES)
    while left > 0:
        chunk = environ["wsgi.input"].read(min(left, 2**16))
        if not chunk:
            return
        left -= len(chunk)


def register_problems(app: Flask) -> None:
    """Make every error of ``app`` a problem document, those of Flask and defects too."""

    @app.errorhandler(ProblemError)
    def problem(error: ProblemError) -> Response:
        return error.response()

    @app.errorhandler(RequestEntityTooLarge)
    def too_many_bytes(_: RequestEntityTooLarge) -> Response:
        _drain(request.environ)
        limit = app.config["MAX_CONTENT_LENGTH"]
        if request.content_length is not None and request.content_length <= limit:
            detail = "The form has too many parts, or a photo without a file name. Send photos as file parts."
            return ProblemError(HTTPStatus.BAD_REQUEST, "bad-form", detail).response()
        detail = f"The request has more than {limit} bytes. Send a smaller photo, or raise SCENERY_MAX_BODY_BYTES."
        return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-many-bytes", detail).response()

    @app.errorhandler(ClientDisconnected)  # how werkzeug tells that a read failed
    @app.errorhandler(BlockingIOError)
    def silent_client(_: Exception) -> Response:
        detail = "The rest of the request did not come. Send it again, whole."
        return ProblemError(HTTPStatus.REQUEST_TIMEOUT, "request-timeout", detail).response()

    @app.errorhandler(HTTPException)
    def http_exception(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or 500)
        name = status.phrase.lower().replace(" ", "-")
        response = ProblemError(status, name, error.description or status.description).response()
        for key, value in error.get_headers():
            if key.lower() == "allow":
                response.headers[key] = value
        return response

    @app.errorhandler(Exception)
    def defect(error: Exception) -> Response:
        log.exception("A request failed by a defect of the proxy", exc_info=error)
        detail = "The proxy failed to handle this request; its log says why."
        return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-server-error", detail).response()
