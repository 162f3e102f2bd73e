"""The table of collected photos: rows are added, and what people wrote into it stays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from scenery.errors import DataError
from training.table import AUTHOR, LICENCE, LINK, NAME, SOURCE, Row, TextTable, held, read_texts, write_texts

AUTHOR_LINK = "author_link"

_FIRST = (NAME, LICENCE, AUTHOR, AUTHOR_LINK, LINK, SOURCE)


def add_rows(path: Path, rows: Sequence[Row]) -> int:
    """Add the rows whose names are new to a table, which is made if it is missing.

    A column that either side lacks is empty there.

    Returns
    -------
    How many rows the table has now.

    Raises
    ------
    DataError
        If what is there is no table with a column of names, or another command writes it.
    OSError
        If it cannot be written; then it is as it was.
    """
    with held(path):
        before = read_texts(path) if path.exists() else TextTable([NAME], [], [])
        if NAME not in before.columns:
            raise DataError(f"{path} has no column {NAME!r}, so no photos can be added to it. Name another --out.")
        names = {row[NAME] for row in before.rows}
        new = [row for row in rows if row[NAME] not in names]
        if new or not path.exists():
            write_texts(path, _united(before.columns, new), [*before.rows, *new])
    return len(before.rows) + len(new)


def _united(columns: Iterable[str], rows: Iterable[Row]) -> list[str]:
    ours = dict.fromkeys(column for row in rows for column in sorted(row, key=_place))
    return list(dict.fromkeys([*columns, *ours]))


def _place(column: str) -> int:
    """Sort the columns that every source has first, and leave the others in their order."""
    return _FIRST.index(column) if column in _FIRST else len(_FIRST)
