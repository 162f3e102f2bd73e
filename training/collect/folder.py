"""Photos that lie in a folder, and in the folders inside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scenery import contract
from scenery.errors import ConfigurationError, DataError
from training.collect.found import Found, id_of
from training.collect.web import MAX_BYTES
from training.table import SOURCE

SUFFIXES: Final = (*contract.PHOTO_SUFFIXES, ".tif", ".tiff")
"""What photos end in, in any case; all become what a model decodes."""


def find_in_folder(folder: Path, out: Path) -> list[Found]:
    """Return the photos of a folder in the order of their names; hidden ones are left out.

    ``source`` is the folder inside that a photo lies in, since photos of a shoot resemble one another, or else
    the photo itself.

    Raises
    ------
    ConfigurationError
        If ``out`` and the folder lie in one another.
    DataError
        If there is no photo.
    """
    folder, out = folder.resolve(), out.resolve()
    if folder.is_relative_to(out) or out.is_relative_to(folder):
        raise ConfigurationError(f"{folder} and {out} lie in one another. Name an --out elsewhere.")
    found = [_found(path, folder) for path in _photos(folder)]
    if not found:
        raise DataError(f"{folder} has no photo: no file that ends in {' '.join(SUFFIXES)}. Name another folder.")
    return found


def copy(found: Found, to: Path) -> None:
    """Write a photo into another file; raises :class:`DataError` if it cannot be read or is too large."""
    try:
        with Path(found.address).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"It cannot be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise DataError(f"It has more than {MAX_BYTES // 2**20} MiB.")
    to.write_bytes(content)


def _photos(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (
            Path(at, name) for name in sorted(names) if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        )


def _found(path: Path, folder: Path) -> Found:
    name = path.relative_to(folder)
    inside = name.parent.as_posix()
    found_id = id_of(str(path))
    return Found(found_id, str(path), {"original": name.as_posix(), SOURCE: found_id if inside == "." else inside})
