"""Where scores go: a folder of Parquet parts, and beside it a folder of dead letters.

::

    scores.parquet/_scenery.json        which model the scores are of
    scores.parquet/_plan-RUN.jsonl      the parts of the run that is under way
    scores.parquet/part-KEY.parquet     the photos of a part that have scores; once it is there, the part is finished
    scores.parquet.failed/part-KEY.jsonl
                                        the others, and why

A part's key is a digest of its photos' names, so whoever works on it a second time writes the same files again.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from bulk import storage
from bulk.part import Failure, ScoredPart, as_lines, as_parquet, failures_in, photos_in
from bulk.scorer import Identity
from scenery.errors import ConfigurationError
from scenery.in_order import in_order
from scenery.locks import alone

_MODEL = "_scenery.json"
_PLAN = re.compile(r"_plan-[0-9a-f]{8}\.jsonl")
_LOCK = ".lock"
_PART = re.compile(r"part-([0-9a-f]{16})\.(?:parquet|jsonl)")
_STAGED = re.compile(r"\.[0-9a-f]{8}\.(?:part-|_)")

_READERS = 16
"""Files read at a time: those of a bucket are far away."""

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Output:
    """The two folders, on this disk or at an address; it pickles."""

    scores: str
    failed: str

    def alone(self) -> AbstractContextManager[None]:
        """Hold the output against other runs on this machine; raises :class:`ConfigurationError` if one has it."""
        if not storage.is_local(self.scores):
            return nullcontext()
        return alone(
            Path(self.scores, _LOCK),
            ConfigurationError(f"Another run is writing {self.scores}. Wait until it has ended."),
        )

    def make(self) -> None:
        """Make the folders, if this disk has them to make.

        Raises
        ------
        ConfigurationError
            If they cannot be made, or nothing here reaches their address.
        """
        if not storage.is_local(self.scores):
            storage.require_reachable(self.scores)
        for folder in filter(storage.is_local, (self.scores, self.failed)):
            with _usable(folder):
                Path(folder).mkdir(parents=True, exist_ok=True)

    def begin(self, identity: Identity, replace: bool) -> None:
        """Take the output up for a model; with ``replace`` an earlier run's scores are removed.

        Raises
        ------
        ConfigurationError
            If it has the scores of another model, or is something else.
        """
        with _usable(self.scores):
            names = storage.names_in(self.scores)
            if _MODEL not in names and any(not name.startswith(".") for name in names):
                raise ConfigurationError(
                    f"{self.scores} holds files that are no scores of this command. Name another --output."
                )
            if _MODEL in names and not replace and (self.finished() or _keys(self.failed)):
                self._check(identity)
            self._remove_left()
            if replace or _MODEL not in names:
                self._clear()
            storage.write(storage.join(self.scores, _MODEL), f"{json.dumps(asdict(identity))}\n".encode())

    def _check(self, identity: Identity) -> None:
        there = _identity(storage.read(storage.join(self.scores, _MODEL)), self.scores)
        if there != identity:
            raise ConfigurationError(
                f"{self.scores} has scores of {_named(there)}, and {_named(identity)} would score now. Name another "
                "--output, score with the former model, or remove the scores with --replace."
            )

    def _clear(self) -> None:
        for folder in (self.scores, self.failed):
            for name in filter(_PART.fullmatch, storage.names_in(folder)):
                storage.remove(storage.join(folder, name))

    def _remove_left(self) -> None:
        """Remove what a run that was killed had begun to write, and its plan, so that its workers write no more."""
        for folder in (self.scores, self.failed):
            for name in storage.names_in(folder):
                if _STAGED.match(name) or _PLAN.fullmatch(name):
                    storage.remove(storage.join(folder, name))

    def write_plan(self, lines: bytes) -> str:
        """Write the plan of a run; returns where it lies."""
        path = storage.join(self.scores, f"_plan-{secrets.token_hex(4)}.jsonl")
        with _usable(self.scores):
            storage.write(path, lines)
        return path

    def end(self, plan: str, parts: Set[str]) -> None:
        """End a run: remove its plan, and parts that are not of those that were there or planned.

        Workers of a run that this one took over were writing them at that moment.
        """
        with _usable(self.scores):
            if storage.exists(plan):  # or another run has taken this one over, and they may be its parts
                self.remove(self.finished() - parts)
                storage.remove(plan)

    def finished(self) -> set[str]:
        """Return the keys of the finished parts; raises :class:`ConfigurationError` if they cannot be listed."""
        return set(_keys(self.scores))

    def scored(self) -> dict[str, list[str]]:
        """Return the written names of the photos that have scores, by the key of their part."""
        return dict(self._read(self.scores, "parquet", photos_in, _keys(self.scores)))

    def failures(self, parts: Collection[str] | None = None) -> dict[str, list[Failure]]:
        """Return the dead letters, all or those of certain parts, by the key of their part."""
        keys = [key for key in _keys(self.failed) if parts is None or key in parts]
        return dict(self._read(self.failed, "jsonl", failures_in, keys))

    def forget(self, failures: Mapping[str, Collection[Failure]], photos: Collection[str]) -> None:
        """Take photos out of the dead letters, as :meth:`failures` has them, since they are tried once more."""
        for key, letters in failures.items():
            kept = [each for each in letters if each.photo not in photos]
            if len(kept) < len(letters):
                with _usable(self.failed):
                    self._write_failures(key, kept)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove finished parts; raises :class:`ConfigurationError` if they cannot be."""
        with _usable(self.scores):
            for key in keys:
                storage.remove(storage.join(self.scores, f"part-{key}.parquet"))
                storage.remove(storage.join(self.failed, f"part-{key}.jsonl"))

    def write(self, part: ScoredPart) -> None:
        """Write a part, its dead letters first: what follows finishes it. Raises ``OSError``."""
        self._write_failures(part.key, part.failures)
        storage.write(storage.join(self.scores, f"part-{part.key}.parquet"), as_parquet(part))

    def _write_failures(self, key: str, failures: Iterable[Failure]) -> None:
        path = storage.join(self.failed, f"part-{key}.jsonl")
        lines = as_lines(failures)
        if lines:
            storage.write(path, lines)
        else:
            storage.remove(path)

    def _read(
        self, folder: str, suffix: str, parse: Callable[[bytes], _Read], keys: Iterable[str]
    ) -> Iterator[tuple[str, _Read]]:
        def read(key: str) -> tuple[str, _Read]:
            path = storage.join(folder, f"part-{key}.{suffix}")
            try:
                return key, parse(storage.read(path))
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"{path} cannot be read. Make it readable, or remove it: its photos are scored again then. "
                    f"Received: {error}"
                ) from error

        yield from in_order(read, keys, _READERS)


def output_at(path: str) -> Output:
    """Return the output whose scores are to be in a folder, such as ``scores.parquet``."""
    folder = os.path.abspath(path) if storage.is_local(path) else path.rstrip("/")
    return Output(folder, f"{folder}.failed")


def _keys(folder: str) -> list[str]:
    with _usable(folder):
        return [match[1] for name in storage.names_in(folder) if (match := _PART.fullmatch(name))]


def _identity(text: bytes, folder: str) -> Identity:
    try:
        return Identity(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{folder}/{_MODEL} cannot be read: {error}. Name another --output.") from error


def _named(identity: Identity) -> str:
    return f"version {identity.version} (digest {identity.digest[:8]})"


@contextmanager
def _usable(folder: str) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigurationError(
            f"{error.filename or folder} is a file, and scores are a folder of Parquet files. Name another --output."
        ) from error
    except OSError as error:
        reason = f"{error.filename or folder} cannot be used: {error.strerror}"
        cure = "Make room" if error.errno == errno.ENOSPC else "Correct its permissions"
        raise ConfigurationError(f"{reason}. {cure}, or name another --output.") from error
