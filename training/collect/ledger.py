"""What was asked for and what came of it: a JSON object a line, added as it happens.

A command that is killed goes on where its ledger ends. The events are

``page``       a page of a search: ``query``, ``page``, ``pages``, ``photos``
``announced``  the source of a photo was told that it is downloaded: ``id``
``saved``      a photo is in the folder: ``id``, ``fingerprint``, ``row``
``duplicate``  it looks like one that was there before: ``id``, ``of``
``failed``     it could not be had: ``id``, ``address``, ``reason``
``listed``     all that is saved so far is in the table
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from scenery.errors import DataError
from training.collect.found import Found
from training.table import Row


@dataclass(frozen=True)
class Page:
    """A page of a search."""

    pages: int
    """How many the search has."""
    photos: list[Found]


class Ledger:
    """The events of a folder of photos. Threads share it; one process at a time has it."""

    def __init__(self, path: Path) -> None:
        """Read a ledger, or begin one; raises :class:`DataError` if it is damaged."""
        self._lock = Lock()
        self.pages: dict[tuple[str, int], Page] = {}
        self.announced: set[str] = set()
        self.fingerprints: dict[str, int] = {}
        """Of each photo in the folder, by the name of its file."""
        self.done: set[str] = set()
        """The ids of what is saved or a duplicate."""
        self.attempts: dict[str, int] = {}
        """How often a photo could not be had, by id."""
        self.unlisted: list[Row] = []
        """Of photos that are saved and not yet in the table."""
        self._stream = path.open("ab+")
        try:
            self._replay(path)
        except BaseException:
            self._stream.close()
            raise

    def _replay(self, path: Path) -> None:
        """Apply the events so far; a last line that was cut off is removed."""
        self._stream.seek(0)
        whole = 0
        for number, line in enumerate(self._stream, 1):
            if not line.endswith(b"\n"):
                break
            try:
                self._apply(**json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(
                    f"{path}, line {number} is no event: {error!r}. Remove the line, or name another --out."
                ) from error
            whole += len(line)
        self._stream.truncate(whole)

    def add(self, event: str, **told: Any) -> None:
        """Add an event: it outlives this process when this returns."""
        line = json.dumps({"event": event, **told}, ensure_ascii=False) + "\n"
        with self._lock:
            self._stream.write(line.encode(errors="surrogatepass"))
            self._stream.flush()
            self._apply(event, **told)

    def close(self) -> None:
        """Have the events on disk."""
        os.fsync(self._stream.fileno())
        self._stream.close()

    def _apply(self, event: str, **told: Any) -> None:
        match event:
            case "page":
                page = Page(int(told["pages"]), [Found(**each) for each in told["photos"]])
                self.pages[told["query"], int(told["page"])] = page
            case "announced":
                self.announced.add(told["id"])
            case "saved":
                self.done.add(told["id"])
                self.fingerprints[told["row"]["name"]] = int(told["fingerprint"], 16)
                self.unlisted.append(told["row"])
            case "duplicate":
                self.done.add(told["id"])
            case "failed":
                self.attempts[told["id"]] = self.attempts.get(told["id"], 0) + 1
            case "listed":
                self.unlisted.clear()
            case _:
                raise ValueError(f"unknown event {event!r}")
