"""The photos that a folder or a pattern stands for, by name. Found one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from glob import has_magic, iglob

from scenery import contract


def photos_below(folder: str) -> Iterator[str | OSError]:
    """Find the photos of a folder and of those inside, in the order of their names.

    Neither hidden ones nor folders behind links. Instead of what a folder holds that cannot be listed comes
    the error that says so, its ``filename`` the folder's.
    """
    try:
        with os.scandir(folder) as listed:
            entries = sorted((each for each in listed if not each.name.startswith(".")), key=lambda each: each.name)
    except OSError as error:
        yield error
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from photos_below(entry.path)
        elif entry.name.lower().endswith(contract.PHOTO_SUFFIXES):
            yield entry.path


def is_pattern(argument: str) -> bool:
    """Return whether an argument is a pattern, and not the name of something that is there."""
    return has_magic(argument) and not os.path.lexists(argument)


def files_matching(pattern: str) -> Iterator[str]:
    """Find the files that a pattern matches, in the order of their names; ``**`` matches folders inside one another."""
    return (path for path in sorted(iglob(pattern, recursive=True)) if not os.path.isdir(path))
