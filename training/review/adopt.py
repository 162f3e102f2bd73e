"""The labelled photos of a task, added to the training table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from scenery.errors import ConfigurationError, DataError
from scenery.files import replaced
from scenery.sample import parse_name
from training.annotate.table import confirmed_rows
from training.annotate.task import Task
from training.config import DataConfig
from training.dataset import read_table
from training.review.distinct import sort_out
from training.review.task import SAMPLED
from training.table import LICENCE, SOURCE, Row, TextTable, held, read_texts, write_texts

Fingerprints = Callable[[], list[int]]


@dataclass(frozen=True)
class Adopted:
    """What became of a task's photos."""

    added: list[str] = field(default_factory=list)
    known: int = 0
    """In the table already, by name or by looks."""
    unlabelled: int = 0
    backup: Path | None = None


def adopt(task: Task, csv_path: Path, config: DataConfig, licence: str, fingerprints: Fingerprints) -> Adopted:
    """Copy a task's labelled photos to where the table's are, and add their rows.

    Photos first, then the table in one step: who is interrupted does it again, and nothing is there twice.

    Parameters
    ----------
    fingerprints
        Returns those of the table's photos; called if there are photos to add.

    Raises
    ------
    ConfigurationError
        If the task asks for other labels than the table has.
    DataError
        If the table or a photo cannot be read or written.
    """
    _require_labels(task, config)
    read_table(csv_path, config)  # says what is wrong with it
    with held(csv_path):
        labels, table = confirmed_rows(task), read_texts(csv_path)
        unlabelled = len(task.names()) - len(labels)
        there = {row[config.image_name_col] for row in table.rows}
        fresh = [task.photo(name) for name in labels if name not in there]
        photos = sort_out(fresh, fingerprints() if fresh else [])
        if photos.unreadable:
            raise DataError(next(iter(photos.unreadable.values())))
        if not photos.distinct:
            return Adopted([], len(labels), unlabelled)
        added = [photo.relative_to(task.folder).as_posix() for photo in photos.distinct]
        columns = [*table.columns, *([] if SAMPLED in table.columns else [SAMPLED])]
        new = [_row(name, labels[name], columns, config, licence) for name in added]
        backup = _write(task, added, csv_path, TextTable(columns, [*table.rows, *new], []), config)
        return Adopted(added, len(labels) - len(added), unlabelled, backup)


def _require_labels(task: Task, config: DataConfig) -> None:
    if set(config.targets) - set(task.labels):
        raise ConfigurationError(
            f"The task asks for {', '.join(task.labels)}, and the table has {', '.join(config.targets)}. Name the data "
            f"config that it was made for, or label it again: scenery annotate {task.folder} "
            f"--labels {','.join(config.targets)}"
        )


def _row(name: str, flags: Mapping[str, int], columns: list[str], config: DataConfig, licence: str) -> Row:
    """Return a photo's row: a source of its own, so that the split may put it anywhere."""
    stem = PurePosixPath(name).with_suffix("")
    kept = parse_name(stem.name)
    source = f"review-{stem}"
    source = source.replace(config.group_separator, "") if config.group_separator else source
    labels = {label: str(flags[label]) for label in config.targets}
    named = {SOURCE: source, LICENCE: licence, SAMPLED: kept.reason if kept else ""}
    group = {config.group_col: source} if config.group_col else {}
    row = named | group | labels | {config.image_name_col: name}
    return {column: row.get(column, "") for column in columns}


def _write(task: Task, names: list[str], csv_path: Path, table: TextTable, config: DataConfig) -> Path:
    backup = csv_path.with_name(f"{csv_path.name}.bak")
    try:
        for name in names:
            _copy(task.photo(name), config.images_base_path / name)
        shutil.copy2(csv_path, backup)
        write_texts(csv_path, table.columns, table.rows)
    except OSError as error:
        raise DataError(f"{csv_path} has no new rows, since a file cannot be written: {error}. Try again.") from error
    return backup


def _copy(photo: Path, to: Path) -> None:
    """Copy a photo in one step."""
    if to.exists() and to.read_bytes() != photo.read_bytes():
        raise DataError(f"{to} is there and is another photo. Move it away, or rename {photo}.")
    to.parent.mkdir(parents=True, exist_ok=True)
    with replaced(to) as staged:
        shutil.copyfile(photo, staged)
