"""Photos whose URLs stand in a CSV table."""

from __future__ import annotations

from pathlib import Path

from scenery.errors import DataError
from training.collect.found import Found, id_of
from training.table import AUTHOR, LINK, NAME, SOURCE, Row, read_texts

_OURS = (NAME, "width", "height")


def find_listed(table: Path, url_column: str) -> list[Found]:
    """Return the photos of a table, in its order; each URL once.

    All other columns come along, labels too. Where their names are those of columns that are written here, they are
    ``listed_name`` and the like. ``source`` is, if the table has no such column, its ``author`` or else the photo.

    Raises
    ------
    DataError
        If the table cannot be read, or has no such column or no rows.
    """
    texts = read_texts(table)
    if url_column not in texts.columns:
        raise DataError(
            f"{table} has no column {url_column!r}. Name the column of URLs with --url-column. "
            f"Its columns: {', '.join(texts.columns) or 'none'}."
        )
    if not texts.rows:
        raise DataError(f"{table} has no photos, only a header. Add a line for each photo.")
    found: dict[str, Found] = {}
    for line, row in zip(texts.lines, texts.rows, strict=True):
        url = row.pop(url_column).strip() or f"(line {line} has no URL)"
        found.setdefault(id_of(url), Found(id_of(url), url, _carried(row, url)))
    return list(found.values())


def _carried(row: Row, url: str) -> Row:
    carried = {f"listed_{column}" if column in _OURS else column: cell for column, cell in row.items()}
    by_default = {LINK: url, SOURCE: carried.get(AUTHOR) or id_of(url)}
    return carried | {column: cell for column, cell in by_default.items() if not carried.get(column)}
