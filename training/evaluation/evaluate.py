"""Evaluate a model, and write what comes of it: what the commands call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scenery.errors import ConfigurationError
from training.dataset import Part, read_table
from training.evaluation import card, report
from training.evaluation.evaluation import FILE_NAME, Evaluation, measure
from training.evaluation.folds import Folds, Spread, TrainFold, cross_validate
from training.evaluation.subject import of_run, of_table, read_run, run_config
from training.history import read_history
from training.prepare import DATA_FILE, SPLIT_FILE

DEFAULT_PART: Part = "test"


def evaluate_run(
    run_dir: Path,
    part: Part = DEFAULT_PART,
    data_config_path: Path | None = None,
    out: Path | None = None,
    folds: Folds | None = None,
) -> Evaluation:
    """Evaluate a run on a part of its own table.

    Writes ``evaluation.json`` and ``report.html`` into ``out``, by default the run's folder, and for
    the test part ``model_card.md`` too: figures of photos that training saw make no card.

    Parameters
    ----------
    folds
        What cross-validation tells; without it, what an earlier one told is kept.

    Raises
    ------
    ConfigurationError, DataError
        If a file of the run, or a photo, is missing or damaged, or the folder cannot be written to.
    """
    run = read_run(run_dir)
    subject = of_run(run_dir, part, data_config_path)
    history = read_history(run_dir)
    folder = out or run_dir
    evaluation = measure(subject, folds or _kept_folds(run_dir / FILE_NAME))
    with _keeping(folder):
        report.write(evaluation, subject, folder, run, history)
        if part == DEFAULT_PART:
            card.write(evaluation, run, run_dir, folder, subject.config)
        evaluation.write(folder)
    return evaluation


def evaluate_table(model: Path, csv_path: Path, data_config_path: Path | None, out: Path) -> Evaluation:
    """Evaluate a run or a version on a labelled table, with the model's own thresholds.

    Writes ``evaluation.json`` and ``report.html`` into ``out``.

    Raises
    ------
    ConfigurationError, DataError
        If the folder is no model, the table, its configuration or a photo cannot be used, or ``out`` cannot
        be written to.
    """
    subject = of_table(model, csv_path, data_config_path)
    evaluation = measure(subject)
    with _keeping(out):
        report.write(evaluation, subject, out)
        evaluation.write(out)
    return evaluation


def cross_validate_run(
    run_dir: Path,
    count: int,
    train_fold: TrainFold,
    data_config_path: Path | None = None,
    out: Path | None = None,
) -> Evaluation:
    """Evaluate a run, and its configuration by cross-validation too; goes on with what was interrupted.

    Raises
    ------
    ConfigurationError, DataError
        If a file of the run, or a photo, is missing or damaged, or there are too few sources.
    """
    run = read_run(run_dir)
    config = run_config(run_dir, run, data_config_path)
    table = read_table(run_dir / SPLIT_FILE, config)
    folds = cross_validate(run_dir, table, config, count, train_fold, data_config_path or run_dir / DATA_FILE)
    return evaluate_run(run_dir, data_config_path=data_config_path, out=out, folds=folds)


@contextmanager
def _keeping(folder: Path) -> Iterator[None]:
    """Make a folder to write to; what cannot be written is an error that says so."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ConfigurationError(
            f"The evaluation cannot be kept in {folder}: {error}. Name a folder: scenery evaluate … --out my-evaluation"
        ) from error


def _kept_folds(path: Path) -> Folds | None:
    """Read what an earlier cross-validation of the same run told."""
    try:
        kept: dict[str, Any] | None = json.loads(path.read_text())["folds"]
        return None if kept is None else _folds(kept)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _folds(kept: dict[str, Any]) -> Folds:
    labels = {label: _spreads(figures) for label, figures in kept["labels"].items()}
    return Folds(kept["count"], kept["photos"], _spreads(kept["figures"]), labels)


def _spreads(kept: dict[str, dict[str, float]]) -> dict[str, Spread]:
    return {name: Spread(**spread) for name, spread in kept.items()}
