"""Train a fold as its run was trained."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import click
import keras
import pandas as pd

from scenery.errors import ConfigurationError
from training.config import load_training_config
from training.evaluation.folds import TrainFold
from training.evaluation.subject import read_run, run_config
from training.prepare import ORIGIN_FILE, TRAINING_FILE, prepare
from training.train import train


def trainer(run_dir: Path, data_config_path: Path | None = None) -> TrainFold:
    """Return what trains a fold with the configuration of a run; a fold that was begun goes on.

    Raises
    ------
    ConfigurationError
        If the run keeps no configuration.
    """
    run = read_run(run_dir)
    if not (run_dir / TRAINING_FILE).is_file():
        raise ConfigurationError(f"{run_dir} keeps no {TRAINING_FILE}: an older Scenery trained it. Train it again.")
    data = run_config(run_dir, run, data_config_path)
    training = load_training_config(run_dir / TRAINING_FILE)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns that each fold has a graph of its own

    def train_fold(table: pd.DataFrame, folder: Path) -> None:
        if not (folder / ORIGIN_FILE).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            prepare(table, data, training, folder, str(run.provenance.get("table", "")))
        click.echo(f"fold {folder.name}", err=True)
        keras.backend.clear_session()  # the network of the fold before goes
        train(folder)

    return train_fold
