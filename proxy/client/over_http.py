"""Photos sent to the proxy, over connections that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationParseError, ProxyError, SSLError
from urllib3.exceptions import TimeoutError as SilenceError

from proxy.client.http_answer import PATH, read_answer
from proxy.client.record import Answer, Ask, UnreachableError, not_answered
from proxy.deadline import HEADER, Deadline
from proxy.problems import RETRY_AFTER_SECONDS
from scenery.errors import ConfigurationError
from scenery.web_proxy import pool_for

_LEAST_SECONDS = 0.001
"""urllib3 takes no timeout of 0."""


@contextmanager
def over_http(
    proxy_url: str, api_key: str | None, version: int | None, label: str | None, connections: int
) -> Iterator[Ask]:
    """Yield what asks the proxy.

    Parameters
    ----------
    proxy_url
        ``http://host:port``, also with a path where the proxy is mounted there.
    api_key
        Sent as a bearer token; None for a proxy that asks for none.
    version, label
        Which version is to answer; the proxy chooses if both are None.
    connections
        How many threads ask at a time.

    Raises
    ------
    ConfigurationError
        If the URL or the key cannot be used.
    """
    address = _checked(proxy_url)
    wanted = {key: value for key, value in (("version", version), ("label", label)) if value is not None}
    query = f"?{urlencode(wanted)}" if wanted else ""
    with pool_for(address.url, maxsize=connections, retries=False) as manager:
        yield _asking(manager, address.url.rstrip("/") + PATH + query, proxy_url, _headers(api_key))


def _asking(manager: urllib3.PoolManager, url: str, proxy_url: str, headers: dict[str, str]) -> Ask:
    def ask(photo: bytes, deadline: Deadline) -> Answer:
        seconds = max(deadline.seconds_left(), _LEAST_SECONDS)
        timed = headers | {HEADER: f"{seconds:.3f}"}
        try:
            response = manager.request("POST", url, body=photo, headers=timed, timeout=urllib3.Timeout(seconds))
        except HTTPError as error:
            raise _failure(error, proxy_url) from error
        return read_answer(response, proxy_url)

    return ask


def _checked(proxy_url: str) -> urllib3.util.Url:
    try:
        address = urllib3.util.parse_url(proxy_url)
    except LocationParseError:
        address = urllib3.util.Url()
    if address.scheme not in ("http", "https") or not address.host or address.query or address.fragment:
        raise ConfigurationError(f"The proxy's URL must look like http://host:port. Received: {proxy_url!r}")
    return address


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/octet-stream", "User-Agent": "scenery"}
    if api_key is None:
        return headers
    if not (api_key.isascii() and api_key.isprintable() and " " not in api_key and api_key):
        raise ConfigurationError("The API key is empty, or has characters that no key has. Copy it again, whole.")
    return headers | {"Authorization": f"Bearer {api_key}"}


def _failure(error: HTTPError, proxy_url: str) -> Exception:
    """Tell what it means that no answer came."""
    if isinstance(error, (ConnectTimeoutError, ProxyError, SSLError)):
        return UnreachableError(
            f"No proxy answers at {proxy_url}. Start one with `scenery serve`, or name another with --proxy. "
            f"Received: {_reason(error)}"
        )
    if isinstance(error, SilenceError):
        detail = "The proxy did not answer in time. Try again, or allow more with --timeout."
        return not_answered("deadline-exceeded", HTTPStatus.GATEWAY_TIMEOUT, detail)
    detail = f"The connection to {proxy_url} broke off: {_reason(error)}. See the proxy's log, then try again."
    return not_answered("connection-lost", None, detail, RETRY_AFTER_SECONDS)


def _reason(error: BaseException) -> str:
    """Return the innermost words, without the object that they are about."""
    inner = error.__cause__ or next((each for each in error.args if isinstance(each, BaseException)), None)
    return _reason(inner) if inner else getattr(error, "strerror", None) or str(error)
