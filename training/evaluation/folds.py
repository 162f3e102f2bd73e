"""Cross-validation: every photo is judged once, by a network that never saw its source.

The table is dealt into folds, by source. For each fold a network is trained with the run's own
configuration; the photos outside the fold are split again, so that the fold's photos choose neither
the network nor its calibration or thresholds.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scenery.errors import ConfigurationError, DataError
from scenery.files import replace_text
from training import dataset, metrics
from training.config import DataConfig
from training.evaluation.subject import of_run
from training.prepare import SPLIT_FILE
from training.run import FILE_NAME, SCORE_PREFIX, SCORES_FILE

TrainFold = Callable[[pd.DataFrame, Path], None]
"""Trains with a table that has its ``part`` already, and writes a run folder."""

OUT_OF_FOLD = "out_of_fold.csv"

_FIGURES = ("binary_accuracy", "exact_match", "macro_f1", "macro_average_precision", "macro_auc", "ece", "brier")
_LABEL_FIGURES = ("precision", "recall", "f1", "average_precision", "auc")


@dataclass(frozen=True)
class Spread:
    """A figure over the folds: its mean and standard deviation."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Folds:
    """What cross-validation tells."""

    count: int
    photos: int
    """All of the table: each is in the test part of one fold."""
    figures: dict[str, Spread]
    labels: dict[str, dict[str, Spread]]


def cross_validate(
    run_dir: Path, table: pd.DataFrame, config: DataConfig, count: int, train_fold: TrainFold, data_config_path: Path
) -> Folds:
    """Train a network for each fold, unless this is done, and put their figures together.

    A fold that is done has its ``scores.csv`` and ``run.json`` in ``folds/K-of-N`` of the run and is
    not trained again. The scores of all photos, each by the network that never saw its source, are
    in ``out_of_fold.csv``.

    Raises
    ------
    ConfigurationError, DataError
        If the run's folder cannot be written to, or there are too few sources.
    """
    parts = fold_parts(table, config, count)
    folders = _make_folder(run_dir)
    kept, figures = [], []
    for place, part in enumerate(parts, start=1):
        folder = folders / f"{place}-of-{count}"
        _train_unless_done(folder, table.assign(part=part), config, train_fold)
        subject = of_run(folder, "test", data_config_path)
        measured = subject.targets, subject.scores, subject.thresholds, subject.labels
        figures.append(metrics.evaluate(*measured))
        scores = pd.DataFrame(subject.scores, columns=[f"{SCORE_PREFIX}{label}" for label in subject.labels])
        kept.append(pd.concat([subject.table[[config.image_name_col]].assign(fold=place), scores], axis=1))
    replace_text(run_dir / OUT_OF_FOLD, pd.concat(kept).to_csv(index=False))
    return Folds(
        count=count,
        photos=len(table),
        figures=_spreads(figures, _FIGURES),
        labels={
            label: _spreads([each["labels"][label] for each in figures], _LABEL_FIGURES) for label in config.targets
        },
    )


def fold_parts(table: pd.DataFrame, config: DataConfig, count: int) -> list[pd.Series[str]]:
    """Return the part of each photo, a series for each fold; no source is in two parts of a fold.

    Raises
    ------
    DataError
        If there are too few sources.
    """
    groups = dataset.sources(table, config)
    if groups.nunique() < 2 * count:
        raise DataError(
            f"{groups.nunique()} sources are too few for {count} folds: bring at least {2 * count}, "
            "or ask for fewer folds."
        )
    everything = np.arange(len(table))
    return [_parts(table, config, count, everything, held_out) for held_out in _deal(table, config, count)]


def _parts(
    table: pd.DataFrame, config: DataConfig, count: int, everything: npt.NDArray[Any], held_out: npt.NDArray[Any]
) -> pd.Series[str]:
    rest = np.setdiff1d(everything, held_out)
    share = config.validation_fraction / (1 - 1 / count)
    validation = rest[_deal(table.iloc[rest], config, max(2, round(1 / share)))[0]]
    part = pd.Series("train", index=table.index)
    part.iloc[held_out] = "test"
    part.iloc[validation] = "validation"
    return part


def _deal(table: pd.DataFrame, config: DataConfig, count: int) -> list[npt.NDArray[np.int64]]:
    """Deal photos, source by source, so that each share has about as many of every combination of labels.

    Returns
    -------
    The rows of each share, counted from 0.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    combinations = _combinations(table[config.targets], count)
    dealer = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    return [rows for _, rows in dealer.split(table, combinations, dataset.sources(table, config))]


def _combinations(targets: pd.DataFrame, count: int) -> pd.Series[str]:
    """Name each photo's combination of labels; those too rare to be dealt count as the commonest."""
    combinations = targets.astype(int).astype(str).agg("".join, axis=1)
    counts = combinations.value_counts()
    common: pd.Series[str] = combinations.where(combinations.map(counts) >= count, counts.index[0])
    return common


def _make_folder(run_dir: Path) -> Path:
    folder = run_dir / "folds"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"Folds cannot be kept in {run_dir}: {error}. Copy the run to a folder that can be written to."
        ) from error
    return folder


def _train_unless_done(folder: Path, table: pd.DataFrame, config: DataConfig, train_fold: TrainFold) -> None:
    split = folder / SPLIT_FILE
    if split.is_file() and not _is_same(split, table, config):
        shutil.rmtree(folder)  # of another table, or dealt otherwise
    if not (folder / FILE_NAME).is_file() or not (folder / SCORES_FILE).is_file():
        train_fold(table, folder)


def _is_same(split: Path, table: pd.DataFrame, config: DataConfig) -> bool:
    """Return whether a fold's table has the same photos, labels and parts."""
    columns = [config.image_name_col, *config.targets, "part"]
    try:
        kept = dataset.read_cells(split, config)[columns]
    except (ValueError, KeyError):
        return False
    same: bool = kept.astype(str).to_numpy().tolist() == table[columns].astype(str).to_numpy().tolist()
    return same


def _spreads(figures: list[dict[str, Any]], names: Iterable[str]) -> dict[str, Spread]:
    told = {name: [each[name] for each in figures if each[name] is not None] for name in names}
    return {
        name: Spread(round(float(np.mean(values)), 4), round(float(np.std(values, ddof=1)), 4))
        for name, values in told.items()
        if len(values) > 1
    }
