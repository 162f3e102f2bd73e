"""Errors as the proxy tells them: problem details (RFC 9457), one shape on every path.

``type`` is a stable name for programs, ``detail`` a sentence for people that says what to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from scenery import contract

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:scenery:problem:"
RETRY_AFTER_SECONDS: Final = 1

MODEL_NOT_SERVED: Final = "model-not-served"
OVERLOADED: Final = "overloaded"
DEADLINE_EXCEEDED: Final = "deadline-exceeded"
VERSION_UNKNOWN: Final = "version-unknown"

KINDS: Final[Mapping[str, tuple[HTTPStatus, str]]] = {
    contract.REFUSED_EMPTY: (HTTPStatus.BAD_REQUEST, "there is no photo in the request"),
    contract.REFUSED_FORMAT: (
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "the bytes are no JPEG, PNG, WebP, BMP or GIF, or of a kind that is not read "
        "(animated WebP, BMP below 24 bits)",
    ),
    "unsupported-media-type": (
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "the content type is neither `image/…` nor a form nor JSON",
    ),
    contract.REFUSED_DAMAGED: (HTTPStatus.UNPROCESSABLE_ENTITY, "the photo is cut off or broken"),
    "too-many-bytes": (
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "the request, or a photo that was fetched, is larger than `SCENERY_MAX_BODY_BYTES`",
    ),
    contract.REFUSED_PIXELS: (
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "the photo has more than `SCENERY_MAX_PIXELS`; refused from its header, before decoding",
    ),
    "too-many-frames": (
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "the animation has more than `SCENERY_MAX_FRAMES`, of which the first would be read",
    ),
    "too-many-photos": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request has more than `SCENERY_MAX_PHOTOS`"),
    "bad-parameter": (HTTPStatus.BAD_REQUEST, "a parameter of the address, or a header, cannot be used"),
    "bad-json": (HTTPStatus.BAD_REQUEST, "the body is no JSON, or not of the shape that `/docs` shows"),
    "bad-form": (HTTPStatus.BAD_REQUEST, "a photo in the form has no file name"),
    "bad-request": (HTTPStatus.BAD_REQUEST, "the request breaks HTTP"),
    "request-timeout": (HTTPStatus.REQUEST_TIMEOUT, "the client stopped sending in the middle"),
    "url-not-allowed": (
        HTTPStatus.FORBIDDEN,
        "the photo's host is not in `SCENERY_URL_HOSTS`, or its address is private",
    ),
    "url-not-fetched": (HTTPStatus.UNPROCESSABLE_ENTITY, "the photo's host does not give it"),
    "url-timeout": (HTTPStatus.GATEWAY_TIMEOUT, "the photo's host took too long"),
    "unauthorized": (HTTPStatus.UNAUTHORIZED, "the API key is missing or unknown"),
    "rate-limited": (HTTPStatus.TOO_MANY_REQUESTS, "more requests than `SCENERY_RATE_LIMIT`; see `Retry-After`"),
    VERSION_UNKNOWN: (HTTPStatus.NOT_FOUND, "the `version` or `label` that was asked for is not served"),
    "no-model-card": (HTTPStatus.NOT_FOUND, "the version has no model card, and only that was asked for"),
    OVERLOADED: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "more requests at a time than `SCENERY_MAX_IN_FLIGHT`, or than the model server takes; see `Retry-After`",
    ),
    "model-server-unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "the model server is down"),
    MODEL_NOT_SERVED: (HTTPStatus.SERVICE_UNAVAILABLE, "the model server has no such model"),
    "model-server-failed": (HTTPStatus.BAD_GATEWAY, "the model failed; `detail` has its words"),
    DEADLINE_EXCEEDED: (
        HTTPStatus.GATEWAY_TIMEOUT,
        "no answer within `SCENERY_TIMEOUT_SECONDS`, or the request's own `X-Request-Timeout`",
    ),
    "not-found": (HTTPStatus.NOT_FOUND, "there is no such path"),
    "method-not-allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "the path has another method; see `Allow`"),
    "internal-server-error": (HTTPStatus.INTERNAL_SERVER_ERROR, "a defect of the proxy; its log says more"),
}
"""The last part of each ``type``: its status, and when it comes."""

_STATUS_NAMES: Final[Mapping[int, str]] = {
    400: "bad-request",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "request-timeout",
    411: "length-required",
    413: "too-many-bytes",
    414: "uri-too-long",
    415: "unsupported-media-type",
    417: "expectation-failed",
    431: "request-header-fields-too-large",
    500: "internal-server-error",
    501: "not-implemented",
}


def kinds_table() -> str:
    """Return :data:`KINDS` as a table in Markdown."""
    rows = [f"| `{name}` | {status.value} | {when} |" for name, (status, when) in KINDS.items()]
    return "\n".join(["| name | status | when |", "|---|---|---|", *rows])


def document(name: str, status: HTTPStatus | None, detail: str) -> dict[str, Any]:
    """Return the members of a problem document; ``status`` is None if no server was asked."""
    title = name.replace("-", " ").capitalize()
    return {"type": TYPE_PREFIX + name, "title": title, "status": status and status.value, "detail": detail}


@dataclass
class ProblemError(Exception):
    """Something that cannot be answered; raise it anywhere in a request."""

    status: HTTPStatus
    name: str
    """The last part of ``type``, such as ``too-many-pixels``."""
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """What goes with the answer, if the problem is the whole of it."""

    def as_dict(self) -> dict[str, Any]:
        """Return the members of the problem document."""
        return document(self.name, self.status, self.detail)

    def body(self) -> bytes:
        """Return the problem document as JSON, a line of its own."""
        return json.dumps(self.as_dict()).encode() + b"\n"

    def all_headers(self) -> dict[str, str]:
        """Return the headers of the answer; whoever may come again is told when."""
        retry = {"Retry-After": str(RETRY_AFTER_SECONDS)} if self.status is HTTPStatus.SERVICE_UNAVAILABLE else {}
        return retry | dict(self.headers)


def status_name(status: HTTPStatus) -> str:
    """Return the last part of ``type`` where only a status is known; Python's own phrases change with its version."""
    return _STATUS_NAMES.get(status, f"http-{status.value}")


def problem(name: str, detail: str, **headers: str) -> ProblemError:
    """Make a problem of :data:`KINDS`, with its status; an underscore in a header's name stands for a hyphen."""
    return ProblemError(KINDS[name][0], name, detail, {key.replace("_", "-"): value for key, value in headers.items()})


def stalled() -> ProblemError:
    """Make the problem of a client that stopped in the middle of its request."""
    return problem("request-timeout", "The rest of the request did not come. Send it again, whole.")
