"""Unsplash's API: its key, its limit of requests an hour, its errors.

Source: https://unsplash.com/documentation. Every request to the API counts against the limit, downloads that are
announced too; the photos themselves, which lie elsewhere, do not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from scenery.errors import ConfigurationError, DataError, SceneryError
from training.collect.web import Answer, Web

URL: Final = "https://api.unsplash.com"
PATIENCE_SECONDS: Final = 600.0
"""Between two tries while the limit is reached; it is renewed within the hour."""


class LimitReachedError(SceneryError):
    """The requests of this hour are used up."""


class Api:
    """Asks one request at a time, and none that the limit forbids. Threads share it."""

    def __init__(
        self,
        web: Web,
        key: str,
        url: str = URL,
        wait: bool = False,
        tell: Callable[[str], None] = lambda _: None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Remember how to ask.

        Parameters
        ----------
        key
            The access key. It is sent to ``url`` only.
        wait
            Whether to wait when the limit is reached, and to ``tell`` so.

        Raises
        ------
        ConfigurationError
            If ``url`` is none.
        """
        if not re.match(r"https?://[^/]", url):
            raise ConfigurationError(f"--api-url must look like {URL}. Received: {url!r}")
        self._web = web
        self._key = key
        self._url = url.rstrip("/")
        self._wait_for_more = wait
        self._tell = tell
        self._patience_seconds = patience_seconds
        self._turn = Lock()
        self._remaining: int | None = None

    def search(self, word: str, page: int, per_page: int) -> dict[str, Any]:
        """Return a page of photos: ``total_pages`` and ``results``; raises what :meth:`get` raises."""
        query = urlencode({"query": word, "page": page, "per_page": per_page})
        answer = self.get(f"/search/photos?{query}")
        known = isinstance(answer, dict) and isinstance(answer.get("results"), list)
        if not known or not isinstance(answer.get("total_pages"), int):
            raise DataError(f"{self._url} does not answer as Unsplash does. Correct --api-url, or leave it out.")
        return dict(answer)

    def announce(self, download_location: str) -> None:
        """Tell Unsplash that a photo is downloaded, as its guidelines ask; raises what :meth:`get` raises."""
        parts = urlsplit(download_location)
        self.get(f"{parts.path}?{parts.query}")  # at our own address: the key goes nowhere else

    def get(self, path: str) -> Any:
        """Return the JSON at a path.

        Raises
        ------
        LimitReachedError
            If the limit is reached, and nobody wants to wait.
        ConfigurationError
            If the key is refused.
        DataError
            If it is no path, there is no such thing, it is not permitted, or there is no answer.
        """
        if not path.startswith("/"):  # with which the address would go on, to another host
            raise DataError(f"A path at {self._url} begins with a slash. Received: {path!r}")
        with self._turn:
            while True:
                if self._remaining == 0:
                    self._wait()
                answer = self._asked(path)
                self._remaining = _number(answer.headers.get("X-Ratelimit-Remaining"))
                if not _says_limit(answer, self._remaining):
                    return self._content(answer)
                self._remaining = 0

    def _asked(self, path: str) -> Answer:
        try:
            return self._web.ask(self._url + path, self._headers())
        except DataError as error:
            raise DataError(f"{self._url} gives no answer. Run the same command again later. {error}") from error

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Client-ID {self._key}", "Accept-Version": "v1", "User-Agent": "scenery"}

    def _wait(self) -> None:
        if not self._wait_for_more:
            raise LimitReachedError(
                "Unsplash answers no more requests of this key in this hour (a demo key has 50; each search of 30 "
                "photos and each download is one). Run the same command again later, it goes on from here; "
                "or add --wait."
            )
        at = datetime.now() + timedelta(seconds=self._patience_seconds)
        self._tell(
            "Unsplash's requests of this hour are used up. Next try in "
            f"{self._patience_seconds / 60:.0f} minutes, at {at:%H:%M}. Ctrl-C stops, and nothing is lost."
        )
        self._web.pause(self._patience_seconds)

    def _content(self, answer: Answer) -> Any:
        if answer.status == 401:
            raise ConfigurationError(
                "Unsplash refuses the access key. Copy it again from https://unsplash.com/oauth/applications: "
                f"the Access Key, not the Secret key. Received: {self._said(answer)}"
            )
        if answer.status != 200:
            raise DataError(f"Unsplash answered with status {answer.status}: {self._said(answer)}. Try again later.")
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise DataError(f"{self._url} did not answer with JSON. Correct --api-url, or leave it out.") from error

    def _said(self, answer: Answer) -> str:
        """Return the errors of an answer, ``{"errors": ["…"]}``, or its first words; never the key."""
        text = answer.body.decode(errors="replace")
        try:
            text = "; ".join(map(str, json.loads(text)["errors"]))
        except (ValueError, TypeError, KeyError):
            text = re.sub(r"\s+", " ", text)[:200]
        return text.replace(self._key, "…") or "nothing"


def _says_limit(answer: Answer, remaining: int | None) -> bool:
    """Tell whether a request was refused for the limit; a 403 may also mean that something is not permitted."""
    return answer.status == 429 or (
        answer.status == 403 and (remaining == 0 or b"rate limit exceeded" in answer.body.lower())
    )


def _number(header: str | None) -> int | None:
    return int(header) if header is not None and header.isascii() and header.isdecimal() else None
