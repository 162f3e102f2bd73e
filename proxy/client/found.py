"""The photos that arguments name: files, folders, patterns, and standard input. Found one by one, read later."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.client.record import NotAnsweredError, not_answered
from scenery import contract
from scenery.photo_files import files_matching, is_pattern, photos_below

STDIN: Final = "-"


@dataclass(frozen=True)
class Photo:
    """A photo that was named or found."""

    name: str
    read: Callable[[], bytes]
    """Returns the encoded photo; raises :class:`NotAnsweredError` if there is none to be had."""


def find_photos(arguments: Iterable[str]) -> Iterator[Photo]:
    """Find the photos of each argument in turn, those of a folder or pattern in the order of their names.

    What does not exist is a photo that cannot be read.
    """
    for argument in arguments:
        if argument == STDIN:
            yield Photo(STDIN, sys.stdin.buffer.read)
        elif os.path.isdir(argument):
            below = map(_file_or_missing, photos_below(argument))
            yield from _or_missing(argument, below, f"has no photo: no {' '.join(contract.PHOTO_SUFFIXES)}")
        elif is_pattern(argument):
            yield from _or_missing(argument, map(_file_or_missing, files_matching(argument)), "matches no file")
        else:
            yield _file(argument)


def _or_missing(argument: str, photos: Iterator[Photo], what: str) -> Iterator[Photo]:
    first = next(photos, None)
    yield _missing(argument, f"{argument} {what}. Name another file, folder or pattern.") if first is None else first
    yield from photos


def _file_or_missing(found: str | OSError) -> Photo:
    if isinstance(found, str):
        return _file(found)
    return _missing(found.filename, f"{found.filename} cannot be listed: {found.strerror}. Correct its permissions.")


def _file(path: str) -> Photo:
    def read() -> bytes:
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise _unreadable(f"{path} cannot be read: {error.strerror}. Correct its path or permissions.") from error

    return Photo(path, read)


def _missing(name: str, detail: str) -> Photo:
    def read() -> bytes:
        raise _unreadable(detail)

    return Photo(name, read)


def _unreadable(detail: str) -> NotAnsweredError:
    return not_answered("file-not-readable", None, detail)
