"""What the proxy answers over HTTP, and what somebody else may answer in its place."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

import urllib3

from proxy.client.record import Answer, NotAnsweredError
from proxy.labels import Labelling
from proxy.problems import MEDIA_TYPE, RETRY_AFTER_SECONDS

PATH: Final = "/v1/classify"

_BUSY = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
_Told = TypeVar("_Told")


def read_answer(response: urllib3.BaseHTTPResponse, proxy_url: str) -> Answer:
    """Return the answer that a response to one photo has; raises :class:`NotAnsweredError` if it has none."""
    if response.status == HTTPStatus.OK:
        return _parsed(response, proxy_url, _answer)
    retry_after_seconds = _retry_after_seconds(response) if response.status in _BUSY else None
    if response.headers.get("Content-Type", "").split(";")[0] == MEDIA_TYPE:
        raise NotAnsweredError(_parsed(response, proxy_url, dict), retry_after_seconds)
    raise _stranger(response, proxy_url, retry_after_seconds)


def _parsed(response: urllib3.BaseHTTPResponse, proxy_url: str, read: Callable[[Any], _Told]) -> _Told:
    try:
        return read(json.loads(response.data))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _stranger(response, proxy_url, None) from error


def _answer(document: Any) -> Answer:
    (photo,) = document["photos"]
    return Answer(
        model=document["model"],
        version=photo["version"],
        labelling=Labelling(
            scores=photo["scores"],
            labels=photo["labels"],
            top_index=photo["top"]["index"],
            top_label=photo["top"]["label"],
            thresholds={},
            source=photo["labels_from"],
        ),
    )


def _stranger(
    response: urllib3.BaseHTTPResponse, proxy_url: str, retry_after_seconds: float | None
) -> NotAnsweredError:
    """Tell of an answer that Scenery's proxy does not give: something stands before it, or in its place."""
    told = f"{response.status} {response.reason or ''}".strip()
    location = response.headers.get("Location")
    cure = (
        f"Name {location.removesuffix(PATH)} with --proxy" if location else "Check --proxy, and what stands before it"
    )
    detail = f"{proxy_url} answered {told}, and not as Scenery's proxy does. {cure}."
    document = {"type": "about:blank", "title": response.reason or "No title", "status": response.status}
    return NotAnsweredError(document | {"detail": detail}, retry_after_seconds)


def _retry_after_seconds(response: urllib3.BaseHTTPResponse) -> float:
    """Read Retry-After: seconds or a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return RETRY_AFTER_SECONDS
