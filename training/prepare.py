"""The run folder before the first epoch: everything that a training reads, so that it needs nothing else.

``split.csv``              the table, with the part of every photo
``data_config.yaml``       what the photos are, with the absolute path of their folder
``training_config.yaml``   how to train
``origin.json``            where the data, the code and the packages come from
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from scenery.errors import ConfigurationError, DataError
from scenery.files import flush, replace_text
from training import dataset
from training.config import DataConfig, TrainingConfig, load_data_config, load_training_config
from training.dataset import Part, Samples
from training.run import describe_origin

SPLIT_FILE = "split.csv"
DATA_FILE = "data_config.yaml"
TRAINING_FILE = "training_config.yaml"
ORIGIN_FILE = "origin.json"
"""It takes this name last: a folder that has it is complete."""
_UNFINISHED_FILE = f".{ORIGIN_FILE}"
"""What it is called before: a folder that has it was not written to its end, and may be written again."""


@dataclass(frozen=True)
class Prepared:
    """What a run folder says before training."""

    data: DataConfig
    training: TrainingConfig
    table: pd.DataFrame
    """The table of photos, with a column ``part``."""
    origin: dict[str, Any]

    @property
    def parts(self) -> dict[Part, Samples]:
        """The photos of each part."""
        return {part: dataset.samples_of(self.table[self.table["part"] == part], self.data) for part in dataset.PARTS}


def prepare(
    table: pd.DataFrame, data: DataConfig, training: TrainingConfig, run_dir: Path, table_name: str
) -> Prepared:
    """Write a run folder for a table that has a column ``part``; one whose writing was interrupted is written again.

    Raises
    ------
    ConfigurationError
        If there is something else in the folder.
    """
    _refuse_used(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    data = dataclasses.replace(data, images_base_path=data.images_base_path.resolve())
    prepared = Prepared(data, training, table, {})
    prepared = dataclasses.replace(prepared, origin=describe_origin(table_name, prepared.parts))
    _write(prepared, run_dir)
    return prepared


def read_prepared(run_dir: Path) -> Prepared:
    """Read a run folder that :func:`prepare` wrote.

    Raises
    ------
    ConfigurationError
        If it did not, or not to the end.
    DataError
        If the photos are no longer those it was written for.
    """
    if not (run_dir / ORIGIN_FILE).is_file():
        raise ConfigurationError(
            f"{run_dir} is no run that can go on: {ORIGIN_FILE} is missing. Name a folder that "
            "`scenery train` began, or begin anew without --resume."
        )
    data = load_data_config(run_dir / DATA_FILE)
    prepared = Prepared(
        data,
        load_training_config(run_dir / TRAINING_FILE),
        dataset.read_cells(run_dir / SPLIT_FILE, data),
        json.loads((run_dir / ORIGIN_FILE).read_text()),
    )
    try:
        digests = {part: dataset.digest(samples) for part, samples in prepared.parts.items()}
    except OSError as error:
        raise DataError(f"{error.filename}, a photo of this run, cannot be read ({error.strerror}).") from error
    changed = [part for part, digest in digests.items() if digest != prepared.origin["data_digest"][part]]
    if changed:
        raise DataError(
            f"The {changed[0]} photos of {run_dir} were changed since it began; going on would mix two data sets. "
            "Begin a new run; if several workers train it, give each of them the same photos."
        )
    return prepared


def _refuse_used(run_dir: Path) -> None:
    begun = (run_dir / ORIGIN_FILE).is_file()
    unfinished = not begun and any(run_dir.glob(f".*{ORIGIN_FILE}"))
    if run_dir.is_dir() and any(run_dir.iterdir()) and not unfinished:
        hint = f", or go on with this one: scenery train --resume {run_dir}" if begun else ""
        raise ConfigurationError(f"{run_dir} is not empty. Name another folder for the run{hint}.")


def _write(prepared: Prepared, run_dir: Path) -> None:
    replace_text(run_dir / _UNFINISHED_FILE, json.dumps(prepared.origin, indent=2) + "\n")
    replace_text(run_dir / SPLIT_FILE, prepared.table.to_csv(index=False))
    _write_yaml(run_dir / DATA_FILE, prepared.data)
    _write_yaml(run_dir / TRAINING_FILE, prepared.training)
    (run_dir / _UNFINISHED_FILE).replace(run_dir / ORIGIN_FILE)
    flush(run_dir)


def _write_yaml(path: Path, config: Any) -> None:
    values = {key: str(value) if isinstance(value, Path) else value for key, value in vars(config).items()}
    replace_text(path, yaml.safe_dump(values, sort_keys=False))
