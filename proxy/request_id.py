"""One name for each request, in its answer, in the log and in the calls that it causes.

A caller may choose it, so that its own log and this one can be read together.
"""

from __future__ import annotations

import re
import uuid

from flask import Flask, Response, g, has_request_context, request

HEADER = "X-Request-ID"

METADATA_KEY = "x-request-id"
"""The header's name where a call of the model server carries it; gRPC wants small letters."""

_USABLE = re.compile(r"[A-Za-z0-9._-]{1,128}")


def register_request_id(app: Flask) -> None:
    """Set the header on every answer of ``app``, errors too."""
    app.after_request(_tell)


def current_request_id() -> str | None:
    """Return the id of the request that is being answered; None outside of one.

    It is the caller's if that has 1 to 128 letters, digits, dots, hyphens and underscores, and a new one
    otherwise. Threads that work on a request in a copy of its context get the same.
    """
    if not has_request_context():
        return None
    known: str | None = g.get("request_id")
    return known or g.setdefault("request_id", chosen(request.headers.get(HEADER, "")))


def chosen(given: str) -> str:
    """Return the id that a caller has given, if it can be used, or else a new one."""
    return given if _USABLE.fullmatch(given) else uuid.uuid4().hex


def _tell(response: Response) -> Response:
    response.headers[HEADER] = current_request_id() or ""
    return response
