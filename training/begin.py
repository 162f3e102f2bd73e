"""The beginning of a run: configurations read, data checked, photos split; nothing is trained yet."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import numpy as np
import pandas as pd

from scenery.errors import DataError
from training import dataset
from training.augment import augment
from training.checks.checks import check_split, check_table
from training.checks.finding import stop_on_errors
from training.checks.rows import LINE
from training.config import PART_COL, DataConfig, TrainingConfig, load_data_config, load_training_config
from training.prepare import Prepared, prepare

QUICK_PHOTOS = 32
"""Of each part, where the training only has to show that everything works."""
QUICK_SIZE = 96
QUICK_EPOCHS = 2

_TOLD_WARNINGS = 5


def begin(
    csv_path: Path,
    data_config_path: Path,
    training_config_path: Path,
    run_dir: Path,
    seed: int | None = None,
    quick: bool = False,
) -> Prepared:
    """Check the data and write the run folder that :func:`training.train.train` reads.

    A table with a column ``part`` keeps the split that this tells.

    Parameters
    ----------
    seed
        In place of the configuration's.
    quick
        Take a few photos, small, for two epochs.

    Raises
    ------
    ConfigurationError, DataError
        If a file is not as it must be.
    """
    data = load_data_config(data_config_path)
    training = load_training_config(training_config_path)
    if seed is not None:
        training = dataclasses.replace(training, seed=seed)
    table = _checked(csv_path, data, training.seed)
    if quick:
        data, training = _quick(data, training)
        table = table.groupby(PART_COL).head(QUICK_PHOTOS)
    augment(np.zeros((1, 32, 32, 3), np.uint8), 0, 1.0, training.augmentation)  # whether imgaug has what it names
    counts = table[PART_COL].value_counts()
    click.echo("photos: " + ", ".join(f"{counts[part]} {part}" for part in dataset.PARTS))
    return prepare(table, data, training, run_dir, csv_path.name)


def _checked(csv_path: Path, data: DataConfig, seed: int) -> pd.DataFrame:
    """Return the table with a column ``part``, every photo of it found sound."""
    checked = check_table(csv_path, data)
    stop_on_errors(checked.findings)
    table: pd.DataFrame = checked.table.drop(columns=LINE)
    if PART_COL not in table.columns:
        table[PART_COL] = dataset.split(table, data, seed)
    elif set(table[PART_COL]) != set(dataset.PARTS):
        raise DataError(
            f"{csv_path}: the column {PART_COL} must say {', '.join(dataset.PARTS)}, each for some photos. Correct it, "
            f"or remove it to have the photos split. Received: {', '.join(sorted(set(table[PART_COL])))}"
        )
    of_split = check_split(table, data, checked.photos)
    stop_on_errors(of_split)
    warnings = [*checked.findings, *of_split]
    for finding in warnings[:_TOLD_WARNINGS]:
        click.echo(f"warning: {finding.sentence}")
    if len(warnings) > _TOLD_WARNINGS:
        click.echo(f"… and {len(warnings) - _TOLD_WARNINGS} more; `scenery check-data` tells them all")
    return table


def _quick(data: DataConfig, training: TrainingConfig) -> tuple[DataConfig, TrainingConfig]:
    small = dataclasses.replace(data, resize_shape=[QUICK_SIZE, QUICK_SIZE], input_shape=[None, None, 3])
    return small, dataclasses.replace(training, head_epochs=0, epochs=QUICK_EPOCHS)
