"""Where a file comes from: an address, asked by HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urljoin
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, SSLError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Url, parse_url

from scenery.errors import ConfigurationError, ExportError

MAX_REDIRECTS: Final = 5
_TIMEOUT = urllib3.Timeout(connect=10, read=60)


class LostError(Exception):
    """The file did not come whole; at the next attempt the rest may."""


def check_url(url: str) -> Url:
    """Return the parts of an address; raises :class:`ConfigurationError` if nothing can be fetched from there."""
    try:
        parsed = parse_url(url)
    except LocationParseError as error:
        raise ConfigurationError(f"The address must be like https://host/file. Received: {url!r}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(f"A model is fetched by http:// or https://. Received: {url!r}")
    if parsed.auth:
        raise ConfigurationError("The address holds a user's name, which would not be sent. Leave it out.")
    return parsed


@contextmanager
def answer(url: str, headers: Mapping[str, str]) -> Iterator[BaseHTTPResponse]:
    """Yield the answer to a GET, its body unread; redirects are followed, but never from https to http.

    The web proxy that the environment names is used, as curl and Python do.

    Raises
    ------
    LostError
        If the server cannot be reached, or its answer breaks off.
    ExportError
        If its certificate cannot be trusted, or its redirects lead nowhere.
    ConfigurationError
        If it is no address that a file can be fetched from.
    """
    with _pool(check_url(url)) as pool:
        try:
            response = _followed(pool, url, headers)
            try:
                yield response
            finally:
                response.close()
        except SSLError as error:
            raise ExportError(f"The certificate of {url} cannot be trusted: {error}") from error
        except (HTTPError, ConnectionError, TimeoutError) as error:
            raise LostError(str(error)) from error


def _followed(pool: urllib3.PoolManager, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
    for _ in range(MAX_REDIRECTS + 1):
        response = pool.request(
            "GET", url, headers=headers, redirect=False, retries=False, preload_content=False, decode_content=False,
            timeout=_TIMEOUT,
        )  # fmt: skip
        location = response.get_redirect_location()
        if not location:
            return response
        response.close()
        url = _next(url, urljoin(url, location))
    raise ExportError(f"There are more than {MAX_REDIRECTS} redirects. Name the file's own address. Received: {url}")


def _next(url: str, location: str) -> str:
    if check_url(location).scheme == "http" and check_url(url).scheme == "https":
        raise ExportError(
            f"{url} redirects to {location}, where anybody on the way could change it. Name an https address."
        )
    return location


def _pool(url: Url) -> urllib3.PoolManager:
    proxy = getproxies().get(url.scheme or "")
    if proxy is None or proxy_bypass(url.netloc or ""):
        return urllib3.PoolManager()
    return urllib3.ProxyManager(proxy)
