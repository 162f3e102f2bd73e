"""What is evaluated: a model's labels and thresholds, some labelled photos, and the scores they got."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import pandas as pd

from scenery.errors import ConfigurationError, DataError
from training import dataset
from training.config import DataConfig, load_data_config
from training.dataset import Part
from training.prepare import DATA_FILE, SPLIT_FILE
from training.run import FILE_NAME, SCORE_PREFIX, SCORES_FILE, Run
from training.scorer import Scorer, load_scorer

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """A model and the photos it is judged by."""

    name: str
    """What readers call the model: the name of its folder."""
    photos: str
    """Which photos these are: the part of the run's table, or the name of another table."""
    thresholds_from: str
    """What chose the thresholds: ``validation``, the part of the run's table, or ``version``."""
    thresholds: Floats
    """float32 [labels]."""
    table: pd.DataFrame
    """A row a photo, as the user's table has it."""
    config: DataConfig
    """What the table is; its targets are the labels, in the model's order."""
    scores: Floats
    """float32 [n, labels]."""

    @property
    def labels(self) -> list[str]:
        """Return the labels, in the model's order."""
        return self.config.targets

    @property
    def targets(self) -> Floats:
        """Return the truth: float32 [n, labels] of 0 and 1."""
        truth: Floats = self.table[self.labels].to_numpy(np.float32)
        return truth

    @property
    def paths(self) -> list[Path]:
        """Return the photos' files."""
        return dataset.samples_of(self.table, self.config).paths

    @property
    def sources(self) -> list[str]:
        """Return the source of each photo."""
        return list(dataset.sources(self.table, self.config))


def of_run(run_dir: Path, part: Part, data_config_path: Path | None = None) -> Subject:
    """Take a part of the table that a run was trained with.

    The scores are those that the training kept; a run without them scores its photos again.

    Parameters
    ----------
    data_config_path
        For runs that keep no ``data_config.yaml``, or whose photos are elsewhere now.

    Raises
    ------
    ConfigurationError, DataError
        If a file of the run, or a photo, is missing or damaged.
    """
    run = read_run(run_dir)
    config = run_config(run_dir, run, data_config_path)
    table = dataset.read_table(run_dir / SPLIT_FILE, config)
    if "part" not in table:
        raise DataError(f"{run_dir / SPLIT_FILE} has no column 'part'. Train again.")
    table = table[table["part"] == part].reset_index(drop=True)
    if table.empty:
        raise DataError(f"{run_dir / SPLIT_FILE} has no photos in the part {part!r}. Train again.")
    thresholds = np.array(run.thresholds, np.float32)
    scores = _kept_scores(run_dir / SCORES_FILE, table, config)
    if scores is None:
        scores = _score(load_scorer(run_dir), table, config)
    return Subject(run_dir.resolve().name, part, "validation", thresholds, table, config, scores)


def of_table(model: Path, csv_path: Path, data_config_path: Path | None = None) -> Subject:
    """Take any labelled table, with a run's or a version's own thresholds; the photos are scored.

    Without ``data_config_path`` the column of names is ``name`` and the photos are in ``images``,
    beside the table.

    Raises
    ------
    ConfigurationError, DataError
        If the folder is no model, or the table, its configuration or a photo cannot be used.
    """
    scorer = load_scorer(model)
    config = _table_config(scorer, csv_path, data_config_path)
    _check_columns(csv_path, scorer.labels)
    table = dataset.read_table(csv_path, config)
    scores = _score(scorer, table, config)
    is_run = (model / FILE_NAME).is_file()
    resolved = model.resolve()
    name = resolved.name if is_run else f"{resolved.parent.name} {resolved.name}"
    thresholds = np.array(scorer.thresholds, np.float32)
    return Subject(name, csv_path.name, "validation" if is_run else "version", thresholds, table, config, scores)


def read_run(run_dir: Path) -> Run:
    """Read a run's record.

    Raises
    ------
    ConfigurationError
        If there is none, or it is damaged.
    """
    try:
        return Run.read(run_dir)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{run_dir} is no run that can be read: {error}. Name a folder that `scenery train` wrote."
        ) from error


def run_config(run_dir: Path, run: Run, data_config_path: Path | None = None) -> DataConfig:
    """Read what a run's table is, with the labels in the network's order.

    Raises
    ------
    ConfigurationError, DataError
        If the run keeps no such file and none is named, or the folder of the photos is not there.
    """
    path = data_config_path or run_dir / DATA_FILE
    if not path.is_file():
        raise ConfigurationError(
            f"{run_dir} keeps no {DATA_FILE}: an older Scenery trained it. "
            "Name the one it was trained with: --data-config-path examples/data_config.yaml"
        )
    config = load_data_config(path)
    if not config.images_base_path.is_dir():
        raise DataError(
            f"There is no folder {config.images_base_path}, where the photos of {run_dir} were. Bring it back, or say "
            f"where they are now: copy {path}, correct its images_base_path, and name the copy with --data-config-path."
        )
    return dataclasses.replace(config, targets=run.labels)


def _table_config(scorer: Scorer, csv_path: Path, data_config_path: Path | None) -> DataConfig:
    if data_config_path is None:
        photos = csv_path.parent / "images"
        if not photos.is_dir():
            raise ConfigurationError(
                f"There is no folder {photos}, where the photos of {csv_path} would be. Say where they are in a "
                "YAML file such as examples/data_config.yaml, and name it with --data-config-path."
            )
        return DataConfig([224, 224], photos, scorer.labels, "name")
    config = dataclasses.replace(load_data_config(data_config_path), targets=scorer.labels)
    return config if config.group_col in _columns(csv_path) else dataclasses.replace(config, group_col=None)


def _check_columns(csv_path: Path, labels: list[str]) -> None:
    columns = _columns(csv_path)
    absent = [label for label in labels if label not in columns]
    if absent:
        raise DataError(
            f"{csv_path} has no column {absent[0]!r}, a label of the model. Its columns: {', '.join(columns)}. "
            "Add a column of 0 or 1 for it."
        )


def _columns(csv_path: Path) -> list[str]:
    try:
        return [str(column) for column in pd.read_csv(csv_path, nrows=0).columns]
    except (OSError, ValueError) as error:
        raise DataError(f"{csv_path} cannot be read as a CSV table: {error}") from error


def _kept_scores(path: Path, table: pd.DataFrame, config: DataConfig) -> Floats | None:
    if not path.is_file():
        return None
    try:
        kept = dataset.read_cells(path, config).drop_duplicates(config.image_name_col).set_index(config.image_name_col)
        names = table[config.image_name_col]
        scores: Floats = kept.loc[names, [f"{SCORE_PREFIX}{label}" for label in config.targets]].to_numpy(np.float32)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} does not fit {SPLIT_FILE}: {error}. Remove it, and the photos are scored again."
        ) from error
    if not np.isfinite(scores).all():
        raise DataError(f"{path} has scores that are no numbers. Remove it, and the photos are scored again.")
    return scores


def _score(scorer: Scorer, table: pd.DataFrame, config: DataConfig) -> Floats:
    paths = dataset.samples_of(table, config).paths
    with click.progressbar(
        paths, label="scoring photos", width=30, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        return scorer.score(bar, len(paths))
