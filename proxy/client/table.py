"""A row of CSV for each photo; the first answer says which labels have a column."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from proxy.client.record import Answer, NotAnsweredError, Record
from proxy.client.view import View, Write

COLUMNS: Final = ("file", "version", "labels", "top", "error")
"""The first columns; one a label follows, with its score."""
SEPARATOR: Final = "|"
"""Between the labels in their one cell."""

_HELD_BYTES = 2**20
"""What waits beyond this waits on disk."""

Row = list[str]


class Table:
    """Rows for spreadsheets."""

    def __init__(self, write: Write, view: View, labels: Sequence[str] | None = None) -> None:
        """Begin a table, or go on with one that has the columns of ``labels`` already."""
        self._write = write
        self._view = view
        self._labels = labels
        # The rows before the first answer: without its labels there is no header.
        self._held = tempfile.SpooledTemporaryFile(_HELD_BYTES, "w+", encoding="ascii")  # noqa: SIM115  closed at the end

    def add(self, record: Record) -> bool:
        """Write a record; an answer whose labels have no columns is written as an error."""
        if isinstance(record.outcome, NotAnsweredError):
            self._add_row(_failed(record.file, f"{record.outcome.title}: {record.outcome.detail}"))
            return False
        if self._labels is None:
            self._begin(list(record.outcome.labelling.scores))
        misfit = self._misfit(record.outcome)
        self._add_row(_failed(record.file, misfit) if misfit else self._answered(record.file, record.outcome))
        return misfit is None

    def end(self) -> None:
        """Write the rows that waited, if no photo was answered at all."""
        if self._labels is None and self._held.tell():
            self._begin([])
        self._held.close()

    def _begin(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._write(as_csv([*COLUMNS, *labels]))
        self._held.seek(0)
        for row in self._held:
            self._add_row(json.loads(row))

    def _add_row(self, row: Row) -> None:
        if self._labels is None:
            self._held.write(json.dumps(row) + "\n")
        else:
            missing = len(COLUMNS) + len(self._labels) - len(row)
            self._write(as_csv(row + [""] * missing))

    def _misfit(self, answer: Answer) -> str | None:
        columns, labels = self._labels or (), answer.labelling.scores
        if set(columns) == set(labels):
            return None
        return (
            f"Other labels: version {answer.version} has {', '.join(labels)}, and this table has columns for "
            f"{', '.join(columns)}. Write to another file, or ask for one version with --version."
        )

    def _answered(self, file: str, answer: Answer) -> Row:
        shown = self._view.of(answer)
        scores = [f"{shown.scores[label]:.6f}" if label in shown.scores else "" for label in self._labels or ()]
        return [file, str(answer.version), SEPARATOR.join(shown.labels), shown.top_label, "", *scores]


def as_csv(row: Sequence[str]) -> str:
    """Return a row with its line's end."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(row)
    return written.getvalue()


def answered_rows(lines: Iterable[str]) -> tuple[Row, Iterator[Row]]:
    """Return the header of a table, empty if there is none, and the rows of the photos that were answered.

    Raises
    ------
    ValueError
        Also while the rows are read: if it is not such a table.
    """
    rows = csv.reader(lines)
    header = next(rows, [])
    if header and tuple(header[: len(COLUMNS)]) != COLUMNS:
        raise ValueError(f"the first columns are not {', '.join(COLUMNS)}")
    return header, (row for row in rows if not _cells(row, header)[COLUMNS.index("error")])


def _cells(row: Row, header: Row) -> Row:
    if len(row) != len(header):
        raise ValueError(f"a row has {len(row)} cells, and the header {len(header)}")
    return row


def _failed(file: str, error: str) -> Row:
    return [file, "", "", "", error]
