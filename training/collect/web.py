"""What lies at a URL, within bounds of bytes, seconds, redirects and tries."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.response import BaseHTTPResponse

from scenery.errors import DataError
from scenery.web_proxy import pool_by, web_proxy_for

MAX_BYTES: Final = 32 * 2**20
"""Of a photo, or of an answer."""

_CHUNK_BYTES = 2**16
_PHOTO = {
    "Accept": "image/jpeg, image/png, image/webp;q=0.9, image/*;q=0.5",
    "Accept-Encoding": "identity",
    "User-Agent": "scenery",
}
_BROKEN = (500, 502, 503, 504)
_BUSY = (429, *_BROKEN)


@dataclass(frozen=True)
class Answer:
    """An answer of a server, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Web:
    """Asks servers. Threads share it.

    A server that is busy or broken (429, 500, 502, 503, 504) is asked again after growing pauses, three times; one
    that is silent, or cannot be connected to, once. A 429 is an answer to :meth:`ask`.
    """

    def __init__(self, connections: int, timeout_seconds: float, stopped: Event, pause_seconds: float = 0.5) -> None:
        """Remember the bounds.

        Parameters
        ----------
        connections
            How many to keep open to a host.
        timeout_seconds
            For connecting, for the beginning of an answer, and for the whole of what follows; in each try anew.
        stopped
            When this is set, whatever is under way ends with an error.
        pause_seconds
            Before a server is asked again; doubled with each time.
        """
        self._connections = connections
        self._timeout_seconds = timeout_seconds
        self._stopped = stopped
        self._photo_retries = urllib3.Retry(
            5, connect=1, read=1, status=3, redirect=5, backoff_factor=pause_seconds, status_forcelist=_BUSY,
            raise_on_status=False, respect_retry_after_header=False,
        )  # fmt: skip
        # Of an API, 429 says that a limit is reached, which asking again does not renew.
        self._answer_retries = self._photo_retries.new(status_forcelist=_BROKEN)
        self._pools: dict[str | None, urllib3.PoolManager] = {}

    def ask(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Return an answer; redirects are answers too, so that a key in the headers goes nowhere else.

        Raises
        ------
        DataError
            If there is none.
        """
        with self._opened(url, headers, self._answer_retries, redirect=False) as response:
            return Answer(response.status, response.headers, b"".join(self._chunks(response)))

    def download(self, url: str, to: Path) -> None:
        """Write what lies at a URL into a file.

        Raises
        ------
        DataError
            If it cannot be had, or not within the bounds.
        OSError
            If the file cannot be written.
        """
        if not url.lower().startswith(("http://", "https://")):
            raise DataError(f"Only http:// and https:// are asked. Received: {url!r}")
        with self._opened(url, _PHOTO, self._photo_retries, redirect=True) as response, to.open("wb") as stream:
            if response.status != 200:
                raise DataError(f"The server answered with status {response.status}.")
            for chunk in self._chunks(response):
                stream.write(chunk)

    def pause(self, seconds: float) -> None:
        """Wait; raises :class:`DataError` as soon as everything is to stop."""
        if self._stopped.wait(seconds):
            raise _stopping()

    @contextmanager
    def _opened(
        self, url: str, headers: Mapping[str, str], retries: urllib3.Retry, redirect: bool
    ) -> Iterator[BaseHTTPResponse]:
        if self._stopped.is_set():
            raise _stopping()
        try:
            response = self._pool(url).request(
                "GET", url, headers=headers, redirect=redirect, retries=retries,
                timeout=self._timeout_seconds, preload_content=False, decode_content=False,
            )  # fmt: skip
            try:
                yield response
            finally:
                response.close()
        except (HTTPError, ValueError) as error:  # ValueError: the URL cannot be read
            raise DataError(f"The server could not be asked: {_reason(error)}") from error

    def _chunks(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        """Yield the body as it comes: each wait alone may be short, and all of them too long."""
        deadline = time.monotonic() + self._timeout_seconds
        size = 0
        while chunk := response.read1(_CHUNK_BYTES):
            size += len(chunk)
            if size > MAX_BYTES:
                raise DataError(f"It has more than {MAX_BYTES // 2**20} MiB.")
            if time.monotonic() > deadline:
                raise DataError(f"It did not come within {self._timeout_seconds:g} s.")
            if self._stopped.is_set():
                raise _stopping()
            yield chunk

    def _pool(self, url: str) -> urllib3.PoolManager:
        """Return the pool of connections; by way of the environment's web proxy, if that is for such addresses."""
        way = web_proxy_for(url)
        if way not in self._pools:
            self._pools[way] = pool_by(way, maxsize=self._connections)
        return self._pools[way]


def _stopping() -> DataError:
    return DataError("The command was stopped.")


def _reason(error: Exception) -> str:
    return str(error.reason if isinstance(error, MaxRetryError) and error.reason else error)
