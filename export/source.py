"""Where a file comes from: an address, asked by HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Final
from urllib.parse import urljoin

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, NameResolutionError, SSLError
from urllib3.response import BaseHTTPResponse
from urllib3.util import parse_url

from scenery.errors import ConfigurationError, ExportError
from scenery.web_proxy import pool_for

MAX_REDIRECTS: Final = 5
_TIMEOUT = urllib3.Timeout(connect=10, read=60)


class LostError(Exception):
    """The file did not come whole; at the next attempt the rest may."""

    def __init__(self, reason: str, wait_seconds: float = 0) -> None:
        """Remember why, and how long the server asks to be left alone."""
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class UnknownHostError(LostError):
    """Nobody knows the host's name: it is wrong, or there is no network."""


def shown(url: str) -> str:
    """Return an address without its query, which often holds a key."""
    return url.partition("?")[0].partition("#")[0]


def check_url(url: str) -> str:
    """Return the scheme of an address; raises :class:`ConfigurationError` if nothing can be fetched from there."""
    try:
        parsed = parse_url(url)
    except LocationParseError as error:
        raise ConfigurationError(f"The address must be like https://host/file. Received: {shown(url)!r}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(f"A model is fetched by http:// or https://. Received: {shown(url)!r}")
    if parsed.auth:
        raise ConfigurationError("The address holds a user's name, which would not be sent. Leave it out.")
    return parsed.scheme


@contextmanager
def answer(url: str, headers: Mapping[str, str]) -> Iterator[BaseHTTPResponse]:
    """Yield the answer to a GET, its body unread; redirects are followed, but never from https to http.

    The web proxy that the environment names is used for each address on the way, as curl does.

    Raises
    ------
    LostError
        If the server cannot be reached, or its answer breaks off.
    ExportError
        If its certificate cannot be trusted, or its redirects lead nowhere.
    ConfigurationError
        If it is no address that a file can be fetched from, or the web proxy is none.
    """
    try:
        with _followed(url, headers) as response:
            yield response
    except SSLError as error:
        raise ExportError(f"The certificate of {shown(url)} cannot be trusted: {error}") from error
    except NameResolutionError as error:
        raise UnknownHostError(str(error).partition(": ")[2]) from error
    except (HTTPError, ConnectionError, TimeoutError) as error:
        raise LostError(str(error)) from error


@contextmanager
def _followed(url: str, headers: Mapping[str, str]) -> Iterator[BaseHTTPResponse]:
    for _ in range(MAX_REDIRECTS + 1):
        check_url(url)
        with pool_for(url) as pool, closing(_asked(pool, url, headers)) as response:
            location = response.get_redirect_location()
            if not location:
                yield response
                return
        url = _next(url, urljoin(url, location))
    raise ExportError(
        f"There are more than {MAX_REDIRECTS} redirects. Name the file's own address. Received: {shown(url)}"
    )


def _asked(pool: urllib3.PoolManager, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
    return pool.request(
        "GET", url, headers=headers, redirect=False, retries=False, preload_content=False, decode_content=False,
        timeout=_TIMEOUT,
    )  # fmt: skip


def _next(url: str, location: str) -> str:
    if check_url(location) == "http" and check_url(url) == "https":
        raise ExportError(
            f"{shown(url)} redirects to {shown(location)}, where anybody on the way could change it. "
            "Name an https address."
        )
    return location
