"""A server that speaks what of Unsplash's API is documented, with real photos, its limit and its errors.

Source: https://unsplash.com/documentation. Photos lie on the same server, under /raw/, and shrink as asked. Under
/as/ lies whatever a test puts there.
"""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

KEY = "a-key-that-nobody-may-see"
INVALID_KEY = '{"errors":["OAuth error: The access token is invalid"]}'

Answer = tuple[int, str, bytes]
"""Status, content type, body."""


@dataclass
class Unsplash:
    """The server's photos, what it was asked, and what it is to answer for once."""

    photos: dict[str, list[Path]]
    """What each word finds."""
    url: str = ""
    remaining: int = 1000
    """Requests to the API until it refuses."""
    asked: list[str] = field(default_factory=list)
    """The path and query of each request."""
    keys: set[str | None] = field(default_factory=set)
    """The Authorization headers of requests for what is no part of the API."""
    instead: dict[str, deque[Answer]] = field(default_factory=dict)
    """Answers to give instead, by path, one a request."""
    more: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Fields of a photo to add, by id."""
    held: Event = field(default_factory=Event)
    """Photos after the first ``free`` wait for this."""
    free: int = 1_000_000
    files: dict[str, Answer] = field(default_factory=dict)
    """What lies under /as/."""

    def count(self, start: str) -> int:
        """Return how many requests began so."""
        return sum(each.startswith(start) for each in self.asked)

    def described(self, path: Path) -> dict[str, Any]:
        """Return a photo as a search does."""
        number = path.stem
        photographer = f"person{int(number) % 3}"
        return {
            "id": number,
            "width": 4000,
            "height": 3000,
            "urls": {"raw": f"{self.url}/raw/{path.name}?ixid=abc"},
            "links": {
                "html": f"https://unsplash.com/photos/{number}",
                "download_location": f"https://api.unsplash.com/photos/{number}/download?ixid=abc",
            },
            "user": {
                "username": photographer,
                "name": f"A “Person”, {photographer}",
                "links": {"html": f"https://unsplash.com/@{photographer}"},
            },
        } | self.more.get(number, {})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Unsplash

    def do_GET(self) -> None:
        self.service.asked.append(self.path)
        parts = urlsplit(self.path)
        instead = self.service.instead.get(parts.path)
        if instead:
            self._send(*instead.popleft())
        elif parts.path.startswith("/as/"):
            self._send(*self.service.files.get(parts.path, (404, "text/plain", b"nothing")))
        elif parts.path.startswith("/raw/"):
            self.service.keys.add(self.headers.get("Authorization"))
            self._send_photo(parts.path.removeprefix("/raw/"), parse_qs(parts.query))
        else:
            self._answer_api(parts.path, parse_qs(parts.query))

    def _answer_api(self, path: str, query: dict[str, list[str]]) -> None:
        if self.headers["Authorization"] != f"Client-ID {KEY}" or self.headers["Accept-Version"] != "v1":
            self._send(401, "application/json", INVALID_KEY.encode())
        elif self.service.remaining == 0:
            self._send(403, "text/plain", b"Rate Limit Exceeded")
        else:
            self.service.remaining -= 1
            found = self._search(query) if path == "/search/photos" else {"url": f"{self.service.url}/raw/x"}
            self._send(200, "application/json", json.dumps(found).encode())

    def _search(self, query: dict[str, list[str]]) -> dict[str, Any]:
        found = self.service.photos.get(query["query"][0], [])
        page, size = int(query["page"][0]), min(int(query["per_page"][0]), 30)
        results = [self.service.described(path) for path in found[(page - 1) * size : page * size]]
        return {"total": len(found), "total_pages": -(-len(found) // size), "results": results}

    def _send_photo(self, name: str, query: dict[str, list[str]]) -> None:
        self.service.free -= 1
        if self.service.free < 0:
            self.service.held.wait(30)
        path = next(each for paths in self.service.photos.values() for each in paths if each.name == name)
        written = io.BytesIO()
        with Image.open(path) as image:
            image.thumbnail((int(query["w"][0]), int(query["h"][0])))
            image.convert("RGB").save(written, "JPEG", quality=int(query["q"][0]))
        self._send(200, "image/jpeg", written.getvalue())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", body.decode())
            body = b""
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Ratelimit-Limit", "50")
        self.send_header("X-Ratelimit-Remaining", str(self.service.remaining))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that are killed go without a word."""


@contextmanager
def unsplash_server(photos: dict[str, list[Path]]) -> Iterator[Unsplash]:
    """Run the server on a free port."""
    service = Unsplash(photos)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"service": service}))
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield service
    finally:
        service.held.set()
        server.shutdown()
        thread.join()
        server.server_close()
