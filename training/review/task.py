"""Kept photos as a task for `scenery annotate`: pictures, a model's guesses to correct, and a table."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from scenery.errors import DataError
from scenery.files import flush
from training.annotate.labelme import write_annotation, write_flags_file
from training.review.kept import Kept
from training.review.served import write_served
from training.table import NAME, TABLE, Row, write_texts

SAMPLED = "sampled"
"""The column that tells why a photo was kept: ``unsure`` or ``uniform``; empty for photos that no proxy kept."""

VERSION = "version"
"""The column that tells the version that answered."""


def require_free(folder: Path) -> None:
    """Raise :class:`DataError` if there is something where a task is to be written."""
    if folder.exists():
        raise DataError(f"{folder} is there already, perhaps with somebody's labels. Name another with --out.")


def write_task(folder: Path, photos: Iterable[Kept], labels: list[str]) -> list[Kept]:
    """Write a task in one step; it is on disk when this returns, and only its owner may look into it.

    A photo that the proxy removes meanwhile is left out; where none is left, no task is written.

    Parameters
    ----------
    labels
        What is asked of each photo; those that the model gave are checked already.

    Returns
    -------
    The photos that are in it.

    Raises
    ------
    DataError
        If it cannot be written; nothing of it stays.
    """
    staged = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(staged, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged.mkdir(mode=0o700)
        written = [kept for kept in photos if _write_photo(staged, kept, labels)]
        if written:
            write_texts(staged / TABLE, [NAME, SAMPLED, VERSION], map(_row, written))
            write_served(staged, {kept.picture.name: kept.answer for kept in written})
            write_flags_file(staged, labels)
            staged.rename(folder)
            flush(folder.parent)
        return written
    except OSError as error:
        raise DataError(f"The task cannot be written to {folder}: {error}. Nothing was taken.") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _row(kept: Kept) -> Row:
    return {NAME: kept.picture.name, SAMPLED: kept.name.reason, VERSION: str(kept.answer.version)}


def _write_photo(folder: Path, kept: Kept, labels: list[str]) -> bool:
    """Write a photo and the model's guess, unless the photo is gone; tells whether."""
    try:
        content = kept.picture.read_bytes()
    except FileNotFoundError:
        return False
    photo = folder / kept.picture.name
    photo.write_bytes(content)
    flush(photo)
    answer = kept.answer
    guess = {label: label in answer.labels for label in labels}
    write_annotation(photo, guess, answer.scores, confirmed=False, thresholds=answer.thresholds)
    return True
