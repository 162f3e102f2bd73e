"""The photos that arguments name, on this disk as ``scenery classify`` finds them, or at Beam's file systems."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from glob import has_magic

from bulk import storage
from scenery import contract
from scenery.errors import DataError
from scenery.photo_files import files_matching, is_pattern, photos_below


def find_photos(arguments: Iterable[str], apart_from: Collection[str] = ()) -> list[str]:
    """Find the photos of each argument in turn, each once; those of this machine by absolute paths.

    Parameters
    ----------
    arguments
        Files, folders and patterns. A folder stands for its photos and those of the folders inside, by suffix,
        hidden ones left out; ``**`` in a pattern for any number of folders, none too.
    apart_from
        Folders whose files are nobody's photos: those that the run writes to.

    Raises
    ------
    DataError
        If an argument names no photo, or a folder cannot be listed.
    ConfigurationError
        If an argument is an address that nothing here can reach.
    """
    written = tuple(storage.join(folder, "") for folder in apart_from)
    found: dict[str, None] = {}
    for argument in arguments:
        try:
            paths = map(os.path.abspath, _on_disk(argument)) if storage.is_local(argument) else _elsewhere(argument)
            names = [name for name in paths if not name.startswith(written)]
        except OSError as error:
            raise DataError(
                f"{error.filename} cannot be listed: {error.strerror}. Correct its name or permissions."
            ) from error
        if not names:
            raise DataError(f"{argument} names no photo. Name another file, folder or pattern in quotes.")
        found.update(dict.fromkeys(names))
    return list(found)


def _on_disk(argument: str) -> Iterator[str]:
    if os.path.isdir(argument):
        yield from map(_listed, photos_below(argument))
    elif is_pattern(argument):
        yield from map(_listed, files_matching(argument))
    elif os.path.lexists(argument):
        yield argument


def _listed(found: str | OSError) -> str:
    if isinstance(found, OSError):
        raise found
    return found


def _elsewhere(argument: str) -> Iterator[str]:
    storage.require_reachable(argument)
    if has_magic(argument):
        beginning = re.split(r"[*?[]", argument)[0]
        for pattern in _patterns(argument):
            yield from (
                path for path in storage.matching(pattern) if "/." in argument or not _is_hidden(path, beginning)
            )
        return
    below = storage.matching(storage.join(argument, "**"))
    yield from (
        path for path in below if path.lower().endswith(contract.PHOTO_SUFFIXES) and not _is_hidden(path, argument)
    )
    if not below:
        yield from storage.matching(argument)


def _patterns(pattern: str) -> list[str]:
    """Return what Beam is to match, for which ``**/`` stands for one folder at least."""
    head, mark, tail = pattern.partition("/**/")
    if not mark:
        return [pattern]
    return [head + between + rest for rest in _patterns(f"/{tail}") for between in ("/**", "")]


def _is_hidden(path: str, beginning: str) -> bool:
    """Return whether a name is hidden that the argument did not spell out."""
    return any(name.startswith(".") for name in path[len(beginning) :].split("/"))
