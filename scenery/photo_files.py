"""The photos that a folder or a pattern stands for, by name. Links to folders are entered only where they are named.

Instead of what a folder holds that cannot be listed comes the error that says so, its ``filename`` the folder's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from glob import has_magic

from scenery import contract

_ANY_DEPTH = "**"


def photos_below(folder: str) -> Iterator[str | OSError]:
    """Find the photos of a folder and of those inside, one by one, in the order of their names; no hidden ones."""
    for each in _below(folder):
        if isinstance(each, OSError):
            yield each
        elif not each.is_dir(follow_symlinks=False) and each.name.lower().endswith(contract.PHOTO_SUFFIXES):
            yield each.path


def is_pattern(argument: str) -> bool:
    """Return whether an argument is a pattern, and not the name of something that is there."""
    return has_magic(argument) and not os.path.lexists(argument)


def files_matching(pattern: str) -> Iterator[str | OSError]:
    """Find the files that a pattern matches, in the order of their names; ``**`` matches folders inside one another.

    Hidden names match only where the pattern spells out their dot.
    """
    start = "/" if pattern.startswith("/") else "."
    found = {_name(each): each for each in _matching(start, pattern.lstrip("/").split("/")) if not _is_missing(each)}
    return (name if isinstance(found[name], str) else found[name] for name in sorted(found))


def _matching(folder: str, segments: list[str]) -> Iterator[str | OSError]:
    segment, *rest = segments
    if segment == _ANY_DEPTH:
        for each in _folders_from(folder):
            yield from _matching(each, rest or ["*"]) if isinstance(each, str) else [each]
    elif has_magic(segment):
        for entry in _listed(folder):
            if isinstance(entry, OSError):
                yield entry
            elif _matches(entry.name, segment):
                yield from _reached(entry.path, rest, _is_folder(entry))
    else:
        yield from _named(os.path.join(folder, segment), rest)


def _named(path: str, rest: list[str]) -> Iterator[str | OSError]:
    try:
        os.lstat(path)
    except OSError as error:
        yield error
    else:
        yield from _reached(path, rest, os.path.isdir(path))


def _reached(path: str, rest: list[str], is_folder: bool) -> Iterator[str | OSError]:
    if rest and is_folder:
        yield from _matching(path, rest)
    elif not rest and not is_folder:
        yield path


def _folders_from(folder: str) -> Iterator[str | OSError]:
    yield folder
    for each in _below(folder):
        if isinstance(each, OSError):
            yield each
        elif each.is_dir(follow_symlinks=False):
            yield each.path


def _below(folder: str) -> Iterator[os.DirEntry[str] | OSError]:
    """Walk what a folder and those inside hold, in the order of names, hidden ones left out."""
    for entry in _listed(folder):
        if isinstance(entry, OSError):
            yield entry
        elif not entry.name.startswith("."):
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path)


def _listed(folder: str) -> list[os.DirEntry[str]] | list[OSError]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        return [error]


def _matches(name: str, segment: str) -> bool:
    return fnmatchcase(name, segment) and (segment.startswith(".") or not name.startswith("."))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path))


def _is_missing(found: str | OSError) -> bool:
    """Return whether a folder that a pattern leads to is not there, or is none."""
    return isinstance(found, (FileNotFoundError, NotADirectoryError))


def _name(found: str | OSError) -> str:
    """Return a name without the start that relative patterns are given."""
    return (str(found.filename) if isinstance(found, OSError) else found).removeprefix("./")
