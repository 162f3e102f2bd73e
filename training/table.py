"""The table of photos as people keep it: a CSV file, every cell a text; read whole, changed in one step."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scenery.errors import DataError
from scenery.files import replace_text
from scenery.locks import alone

TABLE: Final = "data.csv"
IMAGES: Final = "images"
"""The folder of photos beside the table, where ``scenery collect`` makes both."""

NAME: Final = "name"
"""The column of file names, unless a data config names another."""
LICENCE: Final = "licence"
AUTHOR: Final = "author"
LINK: Final = "link"
SOURCE: Final = "source"
"""The column of what must not be on two sides of a split."""

PATIENCE_SECONDS: Final = 10.0
"""How long to wait for another command that writes the table."""

Row = dict[str, str]


@dataclass(frozen=True)
class TextTable:
    """A table as it stands."""

    columns: list[str]
    rows: list[Row]
    lines: list[int]
    """At which line of the file each row ends, counted as an editor does."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep other commands from changing a table between reading and writing it.

    Raises
    ------
    DataError
        If another command changes it for longer than :data:`PATIENCE_SECONDS`.
    ConfigurationError
        If its folder cannot be written to.
    """
    path = path.resolve()
    busy = DataError(f"Another command writes {path}. Wait until it ends, then run this one again.")
    with alone(path.with_name(f".{path.name}.lock"), busy, PATIENCE_SECONDS):
        yield


def read_texts(path: Path) -> TextTable:
    """Read a table; empty lines are left out.

    Raises
    ------
    DataError
        If it cannot be read, has a column twice, or a row of another width than the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            columns = next(reader, [])
            numbered = [(reader.line_num, cells) for cells in reader if cells]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV table: {error}") from error
    for column in columns:
        if columns.count(column) > 1:
            raise DataError(f"{path} has {columns.count(column)} columns {column!r}. Rename or remove one of them.")
    for line, cells in numbered:
        if len(cells) != len(columns):
            raise DataError(
                f"{path}, line {line}: {len(cells)} cells and {len(columns)} columns. Give every line one cell a "
                "column; quote cells that hold commas."
            )
    rows = [dict(zip(columns, cells, strict=True)) for _, cells in numbered]
    return TextTable(columns, rows, [line for line, _ in numbered])


def write_texts(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Replace a table in one step; cells that a row lacks are empty. Raises ``OSError``; the table stays then."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_text(path, text.getvalue().encode(errors="replace").decode())  # names may hold what is no character
