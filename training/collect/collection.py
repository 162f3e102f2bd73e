"""A folder of photos that grows: each photo is fetched, checked, and kept if it is like no other.

OUT/images/…        the photos
OUT/data.csv        a row for each
OUT/collect.jsonl   what was asked for and what came of it
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final

from scenery.errors import ConfigurationError, DataError
from scenery.files import flush
from scenery.in_order import in_order
from scenery.locks import alone
from training.collect.found import Found
from training.collect.ledger import Ledger
from training.collect.picture import Picture, settle
from training.collect.table import add_rows
from training.fingerprint import Looks, fingerprint
from training.table import IMAGES, TABLE

LEDGER: Final = "collect.jsonl"

_STAGING = ".collecting"
_LOCK = ".collect.lock"

Fetch = Callable[[Found, Path], None]
"""Writes a photo into a file; raises :class:`DataError` if it cannot be had."""


@dataclass(frozen=True)
class Failure:
    """Why a photo could not be had."""

    reason: str
    attempts: int
    """Of this and earlier runs."""


@dataclass
class Tally:
    """What came of a run."""

    new: int = 0
    before: int = 0
    """Photos that an earlier run saved, or found to be duplicates."""
    duplicates: dict[str, str] = field(default_factory=dict)
    """The addresses of duplicates, and the file names of what they look like."""
    failed: dict[str, Failure] = field(default_factory=dict)
    """The photos that could not be had, by address."""
    listed: int | None = None
    """The rows of the table now; None until it is known."""

    def counts(self) -> str:
        """Return what a progress bar shows."""
        return f"{len(self.duplicates)} duplicates, {len(self.failed)} failed"


@dataclass(frozen=True)
class _Staged:
    path: Path
    picture: Picture
    fingerprint: int


@contextmanager
def opened(out: Path) -> Iterator[Ledger]:
    """Make a folder for photos, or go on with one; one command at a time.

    Raises
    ------
    ConfigurationError
        If another command collects into it, or it cannot be written.
    DataError
        If its ledger is damaged.
    """
    busy = ConfigurationError(f"Another command collects into {out}. Wait until it has ended, or name another --out.")
    try:
        (out / IMAGES).mkdir(parents=True, exist_ok=True)
        with alone(out / _LOCK, busy):
            shutil.rmtree(out / _STAGING, ignore_errors=True)
            (out / _STAGING).mkdir()
            ledger = Ledger(out / LEDGER)
            try:
                yield ledger
            finally:
                ledger.close()
                shutil.rmtree(out / _STAGING, ignore_errors=True)
    except OSError as error:
        raise ConfigurationError(
            f"{out} cannot be written: {error}. Make room or correct its permissions, then run the command again: "
            "it goes on from here."
        ) from error


class Collection:
    """Fills a folder that :func:`opened` has opened."""

    def __init__(self, out: Path, ledger: Ledger, fetch: Fetch, side_pixels: int, stopped: Event, tally: Tally) -> None:
        """Remember where photos come from and go to.

        Parameters
        ----------
        side_pixels
            Photos are made no larger than this.
        stopped
            Is set when what is under way shall end.
        tally
            Is told what comes of it.
        """
        self._out = out
        self._ledger = ledger
        self._fetch = fetch
        self._side_pixels = side_pixels
        self._stopped = stopped
        self._names = list(ledger.fingerprints)
        self._looks = Looks(ledger.fingerprints.values())
        self.tally = tally

    def collect(self, found: Sequence[Found], jobs: int, advance: Callable[[], None]) -> None:
        """Take in what was found, so many at a time; the result depends on the order of ``found`` only.

        However this ends, what was saved is in the table; what failed is tried again by the next run.

        Raises
        ------
        SceneryError
            If going on makes no sense: a key is refused, a limit reached, a table damaged.
        """
        todo = [each for each in found if each.id not in self._ledger.done]
        self.tally.before = len(found) - len(todo)
        self.write_table()  # of a run that was killed; and a table that cannot be written is told at once
        try:
            with closing(in_order(self._stage, todo, jobs)) as results:
                for each, staged in zip(todo, results, strict=True):
                    self._keep(each, staged)
                    advance()
        finally:
            self._stopped.set()
            self.write_table()

    def write_table(self) -> None:
        """Add the rows of what was saved to the table."""
        self.tally.listed = add_rows(self._out / TABLE, self._ledger.unlisted)
        if self._ledger.unlisted:
            self._ledger.add("listed")

    def _stage(self, found: Found) -> _Staged | DataError:
        """Fetch and check a photo. Several threads do this."""
        path = self._out / _STAGING / found.id
        try:
            self._fetch(found, path)
            return _Staged(path, settle(path, self._side_pixels), fingerprint(path))
        except DataError as error:
            return error

    def _keep(self, found: Found, staged: _Staged | DataError) -> None:
        if isinstance(staged, DataError):
            self._ledger.add("failed", id=found.id, address=found.address, reason=str(staged))
            self.tally.failed[found.address] = Failure(str(staged), self._ledger.attempts[found.id])
        elif (same := self._like(staged.fingerprint)) is not None:
            staged.path.unlink()
            self._ledger.add("duplicate", id=found.id, of=same)
            self.tally.duplicates[found.address] = same
        else:
            self._save(found, staged)

    def _like(self, one: int) -> str | None:
        """Return the name of the photo that looks the same, if there is one."""
        place = self._looks.like(one)
        return None if place is None else self._names[place]

    def _save(self, found: Found, staged: _Staged) -> None:
        name = found.id + staged.picture.suffix
        flush(staged.path)
        staged.path.replace(self._out / IMAGES / name)
        size = {"width": str(staged.picture.width), "height": str(staged.picture.height)}
        row = {"name": name, **found.row, **size}
        self._ledger.add("saved", id=found.id, fingerprint=f"{staged.fingerprint:016x}", row=row)
        self._names.append(name)
        self._looks.add(staged.fingerprint)
        self.tally.new += 1
