"""The labelled photos of a task, added to the training table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from scenery.errors import ConfigurationError, DataError
from scenery.files import flush, replace_text
from scenery.locks import alone
from scenery.sample import parse_name
from training.annotate.table import confirmed_rows
from training.annotate.task import Task
from training.config import DataConfig
from training.dataset import read_table
from training.review.distinct import sort_out
from training.review.task import SAMPLED

_SOURCE, _LICENCE = "source", "licence"
"""Columns that are filled in if the table has them."""

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
    busy = DataError(f"Another command writes {csv_path}. Wait until it ends.")
    with alone(csv_path.with_name(f".{csv_path.name}.lock"), busy):
        rows, table = confirmed_rows(task), _read(csv_path)
        unlabelled = len(task.names()) - len(rows)
        fresh = [task.photo(name) for name in rows if name not in set(table[config.image_name_col])]
        photos = sort_out(fresh, fingerprints() if fresh else [])
        if photos.unreadable:
            raise DataError(next(iter(photos.unreadable.values())))
        if not photos.distinct:
            return Adopted([], len(rows), unlabelled)
        added = [photo.name for photo in photos.distinct]
        new = pd.DataFrame([_row(name, rows[name], config, licence) for name in added])
        columns = [*table.columns, *([] if SAMPLED in table.columns else [SAMPLED])]
        backup = _write(photos.distinct, csv_path, pd.concat([table, new]).reindex(columns=columns).fillna(""), config)
        return Adopted(added, len(rows) - len(added), unlabelled, backup)


def _require_labels(task: Task, config: DataConfig) -> None:
    if set(config.targets) - set(task.labels):
        raise ConfigurationError(
            f"The task asks for {', '.join(task.labels)}, and the table has {', '.join(config.targets)}. Name the data "
            f"config that it was made for, or label it again: scenery annotate {task.folder} "
            f"--labels {','.join(config.targets)}"
        )


def _read(csv_path: Path) -> pd.DataFrame:
    """Read a table as it stands: every cell stays the text that it is."""
    return pd.read_csv(csv_path, dtype=str, keep_default_na=False, encoding="utf-8-sig")


def _row(name: str, flags: Mapping[str, int], config: DataConfig, licence: str) -> dict[str, str]:
    """Return a photo's row: a source of its own, so that the split may put it anywhere."""
    kept = parse_name(Path(name).stem)
    source = f"review-{Path(name).stem}"
    source = source.replace(config.group_separator, "") if config.group_separator else source
    labels = {label: str(flags[label]) for label in config.targets}
    named = {_SOURCE: source, _LICENCE: licence, SAMPLED: kept.reason if kept else ""}
    group = {config.group_col: source} if config.group_col else {}
    return named | group | labels | {config.image_name_col: name}


def _write(photos: list[Path], csv_path: Path, table: pd.DataFrame, config: DataConfig) -> Path:
    backup = csv_path.with_name(f"{csv_path.name}.bak")
    try:
        for photo in photos:
            _copy(photo, config.images_base_path / photo.name)
        shutil.copy2(csv_path, backup)
        replace_text(csv_path, table.to_csv(index=False, lineterminator="\n"))
    except OSError as error:
        raise DataError(f"{csv_path} has no new rows, since a file cannot be written: {error}. Try again.") from error
    return backup


def _copy(photo: Path, to: Path) -> None:
    """Copy a photo in one step."""
    if to.exists() and to.read_bytes() != photo.read_bytes():
        raise DataError(f"{to} is there and is another photo. Move it away, or rename {photo}.")
    staged = to.with_name(f".{to.name}.new")
    shutil.copyfile(photo, staged)
    flush(staged)
    staged.replace(to)
