"""Where scores go: a folder of Parquet parts, and beside it a folder of dead letters.

::

    scores.parquet/_scenery.json        which model the scores are of
    scores.parquet/_plan-RUN.jsonl      the parts of the run that is under way
    scores.parquet/part-KEY.parquet     the photos of a part that have scores; once it is there, the part is finished
    scores.failed/part-KEY.jsonl        the others, and why

A part's key is a digest of its photos' names, so whoever works on it a second time writes the same files again.
"""

from __future__ import annotations

import errno
import json
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
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
        """Make the folders, if this disk has them to make; raises :class:`ConfigurationError` if they cannot be."""
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
            if _MODEL in names and not replace:
                self._check(identity)
            elif _MODEL not in names and any(not name.startswith(".") for name in names):
                raise ConfigurationError(
                    f"{self.scores} holds files that are no scores of this command. Name another --output."
                )
            self._remove_left()
            if replace:
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

    def finished(self) -> set[str]:
        """Return the keys of the finished parts; raises :class:`ConfigurationError` if they cannot be listed."""
        return set(_keys(self.scores))

    def scored(self) -> set[str]:
        """Return the written names of all photos that have scores."""
        return {name for _, names in self._read(self.scores, "parquet", photos_in) for name in names}

    def failures(self) -> dict[str, list[Failure]]:
        """Return the dead letters by the key of their part."""
        return dict(self._read(self.failed, "jsonl", failures_in))

    def forget(self, photos: Collection[str]) -> None:
        """Take photos out of the dead letters, since they are tried once more."""
        for key, failures in self.failures().items() if photos else ():
            kept = [each for each in failures if each.photo not in photos]
            if len(kept) < len(failures):
                with _usable(self.failed):
                    self._write_failures(key, kept)

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

    def _read(self, folder: str, suffix: str, parse: Callable[[bytes], _Read]) -> Iterator[tuple[str, _Read]]:
        def read(key: str) -> tuple[str, _Read]:
            path = storage.join(folder, f"part-{key}.{suffix}")
            try:
                return key, parse(storage.read(path))
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"{path} cannot be read. Make it readable, or remove it: its photos are scored again then. "
                    f"Received: {error}"
                ) from error

        yield from in_order(read, _keys(folder), _READERS)


def output_at(path: str) -> Output:
    """Return the output whose scores are to be in a folder, such as ``scores.parquet``."""
    folder = path.rstrip("/")
    return Output(folder, f"{folder.removesuffix('.parquet')}.failed")


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
