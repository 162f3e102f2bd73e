"""The photos that versions are judged by: a table, and the folder that its file names are relative to."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenery.errors import ExportError
from scenery.loaded import Floats


@dataclass(frozen=True)
class Evaluation:
    """Labelled photos that no version was trained on."""

    table: Path
    photos: list[Path]
    columns: dict[str, list[str]]
    """The cells of each column but the first, by its name."""

    def targets(self, labels: list[str]) -> Floats:
        """Return the truth, float32 [photos, labels].

        Raises
        ------
        ExportError
            If a label has no column of 0 and 1.
        """
        missing = [label for label in labels if label not in self.columns]
        if missing:
            raise ExportError(
                f"The evaluation set {self.table} has no column {missing[0]!r}. "
                "Name one for these labels with --evaluation."
            )
        wrong = [label for label in labels if not set(self.columns[label]) <= {"0", "1"}]
        if wrong:
            raise ExportError(f"The column {wrong[0]!r} of {self.table} must hold 0 and 1 only.")
        targets: Floats = np.array([self.columns[label] for label in labels], np.float32).T
        return targets

    def digest(self) -> str:
        """Return the SHA-256 of the table, in hex."""
        return hashlib.sha256(self.table.read_bytes()).hexdigest()


def read_evaluation(table: Path, photos_dir: Path | None = None) -> Evaluation:
    """Read a table whose first column names photos, and whose others are labels or remarks.

    Parameters
    ----------
    photos_dir
        What the names are relative to; ``images`` beside the table if None.

    Raises
    ------
    ExportError
        If the table or a photo is missing.
    """
    folder = photos_dir or table.parent / "images"
    try:
        with table.open(newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ExportError(
            f"The evaluation set {table} cannot be read: {error}. Name a CSV of held-out photos with --evaluation."
        ) from error
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise ExportError(f"The evaluation set {table} must have a header, and rows that are as long as it.")
    photos = [folder / row[0] for row in rows[1:]]
    missing = [photo for photo in photos if not photo.is_file()]
    if missing:
        raise ExportError(f"{len(missing)} photos of {table} are missing, the first is {missing[0]}. See --photos.")
    columns = {name: [row[place].strip() for row in rows[1:]] for place, name in enumerate(rows[0]) if place}
    return Evaluation(table, photos, columns)
