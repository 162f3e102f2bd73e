"""A file over HTTP; after a connection broke, the rest of it (range requests: RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from urllib3 import Retry
from urllib3.exceptions import InvalidHeader
from urllib3.response import BaseHTTPResponse

from export.part import Part
from export.source import LostError, UnknownHostError, answer, shown
from scenery.errors import ExportError

Tell = Callable[[int, int | None], None]
"""Is told how many bytes are here, and of how many; None if the server does not say."""

FRUITLESS_ATTEMPTS: Final = 5
"""In a row, without one byte more, until it is given up."""
FIRST_WAIT_SECONDS: Final = 1.0
"""Before the next attempt; twice as long after each fruitless one."""
LONGEST_WAIT_SECONDS: Final = 60.0
"""However long a server asks to be left alone (Retry-After: RFC 9110, 10.2.3)."""

_CHUNK_BYTES = 2**18
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be others in a moment."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def download(url: str, part: Part, max_bytes: int, tell: Tell) -> None:
    """Have the whole of ``url`` in ``part``.

    Parameters
    ----------
    max_bytes
        A larger file is refused, as soon as that is known.
    tell
        Called as bytes come.

    Raises
    ------
    ConfigurationError
        If it is no address of a file.
    ExportError
        If the server does not give the file, or the disk does not take it. The part stays.
    """
    fruitless, most = 0, part.bytes
    while not part.is_whole:
        try:
            _fetch_rest(url, part, max_bytes, tell)
            return
        except LostError as error:
            fruitless = fruitless + 1 if part.bytes <= most else 0
            most = max(most, part.bytes)
            if fruitless == FRUITLESS_ATTEMPTS or _is_hopeless(error, part):
                raise _given_up(url, error, part) from error
            wait_seconds = max(FIRST_WAIT_SECONDS * 2**fruitless, error.wait_seconds)
        except OSError as error:
            raise ExportError(
                f"{part.file} cannot be written: {error.strerror}. What came is kept; make room, or correct the "
                "permissions, and run this again."
            ) from error
        time.sleep(wait_seconds)


def _is_hopeless(error: LostError, part: Part) -> bool:
    """Tell whether another attempt is in vain; in the middle of a file a network that is gone may come back."""
    return isinstance(error, UnknownHostError) and not part.bytes


def _given_up(url: str, error: LostError, part: Part) -> ExportError:
    kept = f" {part.bytes} bytes of it are kept; run this again to go on." if part.bytes else ""
    if isinstance(error, UnknownHostError):
        return ExportError(
            f"{shown(url)} cannot be fetched: {error}. Correct the address, or connect to the network.{kept}"
        )
    return ExportError(f"{shown(url)} did not come whole: {error}.{kept or ' Run this again in a while.'}")


def _fetch_rest(url: str, part: Part, max_bytes: int, tell: Tell) -> None:
    with answer(url, _headers(url, part)) as response:
        if _has_no_more(response, part):
            return
        if response.status == HTTPStatus.OK:
            length = response.headers.get("Content-Length", "")
            part.start(shown(url), _validator(response), int(length) if length.isdecimal() else None)
        elif response.status == HTTPStatus.PARTIAL_CONTENT and part.bytes:
            _require_rest(url, response, part)
        else:
            raise _refused(url, response, part)
        _require_room(url, part, max_bytes)
        _write(url, response, part, max_bytes, tell)
    if part.origin.total_bytes is not None and not part.is_whole:
        raise LostError(f"{part.bytes} of {part.origin.total_bytes} bytes came")


def _has_no_more(response: BaseHTTPResponse, part: Part) -> bool:
    """Tell whether a server that did not say the size at first says now that everything is here."""
    is_beyond = response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.bytes > 0
    return is_beyond and response.headers.get("Content-Range") == f"bytes */{part.bytes}"


def _headers(url: str, part: Part) -> dict[str, str]:
    """Ask for what is missing, and for all of it if that is of other bytes by now."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "scenery"}
    if part.bytes:
        headers["Range"] = f"bytes={part.bytes}-"
        if part.origin.validator and part.origin.url == shown(url):
            headers["If-Range"] = part.origin.validator
    return headers


def _validator(response: BaseHTTPResponse) -> str | None:
    """Return what a server calls the bytes it gives; a weak ETag may stand for others too."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _require_rest(url: str, response: BaseHTTPResponse, part: Part) -> None:
    """Raise if an answer does not go on where the part ends, or is of other bytes; the next attempt begins anew."""
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    origin = part.origin
    goes_on = match is not None and int(match[1]) == part.bytes
    is_as_long = match is None or origin.total_bytes is None or match[2] in ("*", str(origin.total_bytes))
    is_called_so = origin.url != shown(url) or _validator(response) in (None, origin.validator)
    if not (goes_on and is_as_long and is_called_so):
        part.drop()
        raise LostError("the file has changed meanwhile, or the server gave another range than it was asked for")


def _refused(url: str, response: BaseHTTPResponse, part: Part) -> Exception:
    status = f"{response.status} {response.reason}"
    if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.bytes:
        part.drop()
        return LostError(f"the server has fewer bytes than it had ({status})")
    if response.status in _PASSING:
        return LostError(f"the server answers {status}", _asked_wait_seconds(response))
    return ExportError(f"{shown(url)} cannot be fetched: the server answers {status}. Correct the address.")


def _asked_wait_seconds(response: BaseHTTPResponse) -> float:
    """Return how long the server asks to be left alone, within bounds; 0 if it does not ask, or cannot be read."""
    try:
        return min(Retry().get_retry_after(response) or 0, LONGEST_WAIT_SECONDS)
    except InvalidHeader:
        return 0


def _require_room(url: str, part: Part, max_bytes: int) -> None:
    total = part.origin.total_bytes or 0
    if total > max_bytes:
        raise _too_large(url, total, max_bytes)
    free = shutil.disk_usage(part.file.parent).free
    if total - part.bytes > free:
        raise ExportError(
            f"{shown(url)} needs {total - part.bytes} bytes more, and {part.file.parent} has {free}. Make room."
        )


def _write(url: str, response: BaseHTTPResponse, part: Part, max_bytes: int, tell: Tell) -> None:
    have = part.bytes
    with part.file.open("ab") as file:
        tell(have, part.origin.total_bytes)
        for chunk in response.stream(_CHUNK_BYTES):
            have += len(chunk)
            if have > max_bytes:
                raise _too_large(url, have, max_bytes)
            file.write(chunk)
            tell(have, part.origin.total_bytes)


def _too_large(url: str, found: int, max_bytes: int) -> ExportError:
    return ExportError(
        f"{shown(url)} has {found} bytes or more, and {max_bytes} are allowed. Raise --max-bytes if that is right."
    )
