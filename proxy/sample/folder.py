"""The folder that kept photos lie in: private, bounded, and emptied of what is old. Workers share it."""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timezone
from datetime import time as time_of_day
from pathlib import Path
from typing import Literal

from scenery.errors import ConfigurationError, StackError
from scenery.locks import alone
from scenery.sample import ANSWER, PICTURE, REASONS, Name, Reason, names_in, parse_name, remove

UNIFORM_SHARE = 0.2
"""Of the room, for photos that chance drew; unsure ones have the rest and cannot crowd them out."""

SEEN_SECONDS = 1.0
"""How long a look into the folder stands for the next ones."""

_LOCK = ".lock"
_STAGED = ".new"
_PATIENCE_SECONDS = 10

Outcome = Literal["kept", "known", "passed-over"]


@dataclass(frozen=True)
class Bounds:
    """How much is kept, and how long."""

    max_photos: int
    max_bytes: int
    days: int

    def share(self, reason: Reason) -> tuple[float, float]:
        """Return how many photos, and bytes, may be kept for a reason."""
        share = UNIFORM_SHARE if reason == "uniform" else 1 - UNIFORM_SHARE
        return share * self.max_photos, share * self.max_bytes


def prepare(path: Path) -> None:
    """Make the folder if there is none, for its owner alone.

    Raises
    ------
    ConfigurationError
        If it cannot be made or written to, or others may look into it.
    """
    try:
        if not path.exists():
            path.mkdir(mode=0o700, parents=True)
        mode = stat.S_IMODE(path.stat().st_mode)
        trial = path / f".trial-{os.getpid()}"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"SCENERY_SAMPLE_FOLDER: photos cannot be kept in {path}: {error.strerror}. Name a folder that the proxy "
            "may write to, or leave the setting out to keep none."
        ) from error
    if mode & 0o077:
        raise ConfigurationError(
            f"SCENERY_SAMPLE_FOLDER: others may look into {path}, and people's photos are kept there. "
            f"Run: chmod 700 {path}; or name a folder that does not exist yet. Received: mode {mode:03o}"
        )


class Folder:
    """Pairs of a picture and what a model said of it; safe to share by any number of processes."""

    def __init__(self, path: Path, bounds: Bounds) -> None:
        """Name the folder; nothing is looked at, and :func:`prepare` makes it.

        Parameters
        ----------
        path
            Of the folder, which is the sample's alone.
        bounds
            Of all processes together; each must be told the same.
        """
        self._path = path
        self._bounds = bounds
        self._looked_at = -math.inf
        self._seen: list[Name] = []

    def has_room(self, name: Name) -> bool:
        """Tell whether a photo would stay, if it were kept now, as far as is known; raises ``OSError``.

        Most photos that come while there are enough are passed over by this, so the folder is listed once a second.
        """
        if time.monotonic() - self._looked_at > SEEN_SECONDS:
            self._seen, self._looked_at = names_in(self._path), time.monotonic()
        draws = [other.draw for other in self._seen if other.reason == name.reason]
        return len(draws) + 1 <= self._bounds.share(name.reason)[0] or name.draw < max(draws, default="")

    def add(self, name: Name, picture: bytes, answer: str) -> Outcome:
        """Keep a photo; of too many for its reason, those of the largest draws go.

        A picture that is there already stays the only one; chance counts for more than unsureness.

        Raises
        ------
        OSError, SceneryError
            If it cannot be written; nothing of it stays.
        """
        with self._alone():
            names = names_in(self._path)
            twin = self._twin(names, picture)
            if twin is not None and (twin.reason == "uniform" or name.reason == "unsure"):
                return "known"
            try:
                self._write(name, PICTURE, picture)
                self._write(name, ANSWER, answer.encode())
            except OSError:
                self._clear(name)
                raise
            if twin is not None:
                remove(self._path, twin)
                names.remove(twin)
            self._shrink([*names, name], name.reason)
            return "kept" if (self._path / f"{name}{ANSWER}").exists() else "passed-over"

    def tidy(self, today: date) -> None:
        """Remove photos that are too old, and what a killed process left; raises as :meth:`add` does."""
        with self._alone():
            self._tidy(today)
            for reason in REASONS:
                self._shrink(names_in(self._path), reason)

    def _alone(self) -> AbstractContextManager[None]:
        busy = StackError(f"Another process holds {self._path / _LOCK}. Wait until it ends.")
        return alone(self._path / _LOCK, busy, _PATIENCE_SECONDS)

    def _tidy(self, today: date) -> None:
        whole = names_in(self._path)
        for name in whole:
            if (today - name.day).days >= self._bounds.days:
                remove(self._path, name)
        known = set(whole)
        for file in self._path.iterdir():
            is_staged = file.name.startswith(".") and file.suffix == _STAGED
            name_of = parse_name(Path(file.name[1 : -len(_STAGED)]).stem if is_staged else file.stem)
            if name_of is not None and (is_staged or (file.suffix == PICTURE and name_of not in known)):
                file.unlink(missing_ok=True)

    def _twin(self, names: Iterable[Name], picture: bytes) -> Name | None:
        """Return the photo that looks the same to the last bit: the same file gives the same small picture."""
        for name in names:
            with suppress(FileNotFoundError):  # somebody takes it at this moment
                file = self._path / f"{name}{PICTURE}"
                if file.stat().st_size == len(picture) and file.read_bytes() == picture:
                    return name
        return None

    def _shrink(self, names: Iterable[Name], reason: Reason) -> None:
        most, most_bytes = self._bounds.share(reason)
        photos, used = 0, 0
        for name in sorted(names, key=lambda each: each.draw):
            if name.reason == reason:
                photos, used = photos + 1, used + self._bytes(name)
                if photos > most or used > most_bytes:
                    remove(self._path, name)

    def _bytes(self, name: Name) -> int:
        with suppress(FileNotFoundError):
            return sum((self._path / f"{name}{suffix}").stat().st_size for suffix in (PICTURE, ANSWER))
        return 0

    def _write(self, name: Name, suffix: str, content: bytes) -> None:
        """Write a file in one step, readable by its owner only, and tell no more of its time than the day."""
        path = self._path / f"{name}{suffix}"
        staged = self._staged(path)
        with open(staged, "xb", opener=lambda file, flags: os.open(file, flags, 0o600)) as stream:
            stream.write(content)
        midnight = datetime.combine(name.day, time_of_day(), timezone.utc).timestamp()
        os.utime(staged, (midnight, midnight))
        staged.replace(path)

    def _clear(self, name: Name) -> None:
        for suffix in (ANSWER, PICTURE):
            path = self._path / f"{name}{suffix}"
            for file in (path, self._staged(path)):
                with suppress(OSError):
                    file.unlink()

    def _staged(self, path: Path) -> Path:
        return path.with_name(f".{path.name}{_STAGED}")
