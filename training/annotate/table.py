"""The training table: a line a photo, a column a label with 0, 1, or nothing where nobody has looked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from scenery.errors import DataError
from training.annotate.file import writing
from training.annotate.labelme import Annotation, annotation_path, write_annotation
from training.annotate.task import Task
from training.table import Row, read_texts, write_texts

Flags = dict[str, bool]
_FLAG_OF = {"0": False, "1": True, "0.0": False, "1.0": True}
"""pandas writes a column of 0, 1 and empty cells with points."""


@dataclass
class Table:
    """Rows by the photo's name, as text; columns that are no labels are carried along."""

    columns: list[str]
    rows: dict[str, Row] = field(default_factory=dict)

    def flags(self, name: str, labels: Iterable[str]) -> Flags:
        """Return what a row says of the labels: those of empty cells are left out."""
        row = self.rows.get(name, {})
        return {label: _FLAG_OF[row[label]] for label in labels if row.get(label)}

    def with_labels(self, name_column: str, labels: Iterable[str]) -> Table:
        """Return a copy that has a column for each label, new ones behind the names."""
        missing = [label for label in labels if label not in self.columns]
        place = self.columns.index(name_column) + 1
        columns = [*self.columns[:place], *missing, *self.columns[place:]]
        return Table(columns, {name: dict(row) for name, row in self.rows.items()})


@dataclass(frozen=True)
class Disagreement:
    """A label that table and photo's file tell differently, where the table is newer."""

    name: str
    label: str
    in_table: bool


def read_table(task: Task) -> Table:
    """Read the task's table; one that does not exist yet is empty.

    Raises
    ------
    DataError
        If it is no table, lacks the column of names, names a photo twice or has another value than 0, 1 or nothing.
    """
    path, name_column = task.csv_path, task.name_column
    if not path.exists():
        return Table([name_column])
    texts = read_texts(path)
    if name_column not in texts.columns:
        columns = ", ".join(texts.columns) or "none"
        raise DataError(
            f"{path} has no column {name_column!r}, of the photos' names. Its columns: {columns}. "
            "Name a data config whose image_name_col is one of them: --data-config FILE"
        )
    table = Table(texts.columns)
    for line, row in zip(texts.lines, texts.rows, strict=True):
        _check_row(row, f"{path}, line {line}", task, table)
        table.rows[row[name_column]] = row
    return table


def write_table(task: Task, table: Table) -> None:
    """Replace the task's table in one step; raises :class:`DataError` if it cannot be written."""
    with writing(task.csv_path):
        write_texts(task.csv_path, table.columns, table.rows.values())


def updated(
    table: Table, task: Task, annotations: Mapping[str, Annotation], files_win: bool = False
) -> tuple[Table, list[Disagreement]]:
    """Put what people confirmed into the table.

    A photo's file wins if it is newer than the table. Where the table is newer, its label stays and is told.

    Parameters
    ----------
    files_win
        Whether the photos' files win anyway.

    Returns
    -------
    Another table, with a row for every photo that somebody labelled; and the disagreements.
    """
    result = table.with_labels(task.name_column, task.labels)
    disagreements: list[Disagreement] = []
    for name, annotation in annotations.items():
        if not annotation.confirmed or not annotation.flags.keys() & set(task.labels):
            continue
        row = result.rows.setdefault(name, {task.name_column: name})
        known, flags = table.flags(name, task.labels), annotation.flags
        keep = not files_win and _is_newer(task, name)
        for label in (label for label in task.labels if label in flags):
            if keep and label in known and known[label] != flags[label]:
                disagreements.append(Disagreement(name, label, known[label]))
            else:
                row[label] = str(int(flags[label]))
    return result, disagreements


def write_files(task: Task, table: Table, annotations: Mapping[str, Annotation], table_wins: bool) -> int:
    """Give photos the labels that the table has, so that whoever opens them sees and keeps these.

    A photo that the table labels whole is labelled by it, as if a person had saved it there.

    Parameters
    ----------
    annotations
        What the photos have: labels that a person confirmed stay, unless ``table_wins``.

    Returns
    -------
    How many files were written. A photo that cannot be read, or whose file cannot, is left to the report.
    """
    written = 0
    for name in task.names():
        known, before = table.flags(name, task.labels), annotations.get(name) or Annotation({}, confirmed=False)
        table_rules = table_wins or not before.confirmed
        flags = before.flags | known if table_rules else known | before.flags
        confirmed = before.confirmed or len(known) == len(task.labels)
        if known and (flags, confirmed) != (before.flags, before.confirmed):
            with suppress(DataError):
                write_annotation(task.photo(name), flags, None, confirmed)
                written += 1
    return written


def confirmed_rows(task: Task) -> dict[str, dict[str, int]]:
    """Return 0 or 1 for each label of each photo that a person labelled whole, by name, from the photos' files."""
    annotations, _ = task.annotations()
    return {
        name: {label: int(each.flags[label]) for label in task.labels}
        for name, each in annotations.items()
        if each.confirmed and each.flags.keys() >= set(task.labels)
    }


def _check_row(row: Row, where: str, task: Task, table: Table) -> None:
    name = row[task.name_column]
    if not name:
        raise DataError(f"{where}: {task.name_column} is empty. Name the photo, or remove the line.")
    if name in table.rows:
        raise DataError(f"{where}: {name} is there already; each photo has one line. Remove one of them.")
    for label in task.labels:
        if row.get(label) and row[label] not in _FLAG_OF:
            raise DataError(f"{where}: {label} must be 0, 1 or empty. Received: {row[label]!r}")


def _is_newer(task: Task, name: str) -> bool:
    """Tell whether the table was written after a photo's file."""
    file = annotation_path(task.photo(name))
    return task.csv_path.exists() and task.csv_path.stat().st_mtime_ns > file.stat().st_mtime_ns
