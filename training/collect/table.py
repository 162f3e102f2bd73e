"""The table of collected photos: rows are added, and what people wrote into it stays."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from scenery.errors import DataError
from scenery.files import replace_text

Row = dict[str, str]

NAME = "name"
"""The column of file names, relative to the folder of images."""

_FIRST = (NAME, "licence", "author", "author_link", "link", "source")


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Return the columns and the rows of a CSV table, all of them texts.

    Raises
    ------
    DataError
        If it cannot be read, or a row has more cells than the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restval="", strict=True)
            rows = list(reader)
            columns = list(reader.fieldnames or [])
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV table: {error}") from error
    for number, row in enumerate(rows, 1):
        if None in row:
            raise DataError(f"{path}, row {number} has more cells than the header. Put texts with commas in quotes.")
    return columns, rows


def add_rows(path: Path, rows: Sequence[Row]) -> int:
    """Add the rows whose names are new to a table, which is made if it is missing.

    A column that either side lacks is empty there.

    Returns
    -------
    How many rows the table has now.

    Raises
    ------
    DataError
        If what is there is no table with a column of names.
    OSError
        If it cannot be written; then it is as it was.
    """
    columns, before = read_rows(path) if path.exists() else ([NAME], [])
    if NAME not in columns:
        raise DataError(f"{path} has no column {NAME!r}, so no photos can be added to it. Name another --out.")
    names = {row[NAME] for row in before}
    new = [row for row in rows if row[NAME] not in names]
    if new or not path.exists():
        replace_text(path, _as_csv(_united(columns, new), [*before, *new]))
    return len(before) + len(new)


def _united(columns: Iterable[str], rows: Iterable[Row]) -> list[str]:
    ours = dict.fromkeys(column for row in rows for column in sorted(row, key=_place))
    return list(dict.fromkeys([*columns, *ours]))


def _place(column: str) -> int:
    """Sort the columns that every source has first, and leave the others in their order."""
    return _FIRST.index(column) if column in _FIRST else len(_FIRST)


def _as_csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    written = io.StringIO()
    writer = csv.DictWriter(written, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue().encode(errors="replace").decode()  # names of files may hold what is no character
