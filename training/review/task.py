"""Kept photos as a task for `scenery annotate`: pictures, a model's guesses to correct, and a table."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from scenery.errors import DataError
from scenery.files import flush, replace_text
from training.annotate.labelme import write_annotation, write_flags_file
from training.annotate.task import TABLE_FILE
from training.review.kept import Kept

SAMPLED = "sampled"
"""The column that tells why a photo was kept: ``unsure`` or ``uniform``; empty for photos that no proxy kept."""

VERSION = "version"
"""The column that tells the version that answered."""


def require_free(folder: Path) -> None:
    """Raise :class:`DataError` if there is something where a task is to be written."""
    if folder.exists():
        raise DataError(f"{folder} is there already, perhaps with somebody's labels. Name another with --out.")


def write_task(folder: Path, photos: Iterable[Kept], labels: list[str]) -> None:
    """Write a task in one step; it is on disk when this returns, and only its owner may look into it.

    Parameters
    ----------
    labels
        What is asked of each photo; those that the model gave are checked already.

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
        rows = [f"name,{SAMPLED},{VERSION}\n", *(_write_photo(staged, kept, labels) for kept in photos)]
        replace_text(staged / TABLE_FILE, "".join(rows))
        write_flags_file(staged, labels)
        staged.rename(folder)
        flush(folder.parent)
    except OSError as error:
        raise DataError(f"The task cannot be written to {folder}: {error}. Nothing was taken.") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _write_photo(folder: Path, kept: Kept, labels: list[str]) -> str:
    """Write a photo and the model's guess; returns its row."""
    photo = folder / kept.picture.name
    shutil.copyfile(kept.picture, photo)
    flush(photo)
    answer = kept.answer
    guess = {label: label in answer.labels for label in labels}
    write_annotation(photo, guess, answer.scores, confirmed=False, thresholds=answer.thresholds)
    return f"{photo.name},{kept.name.reason},{answer.version}\n"
