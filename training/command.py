"""The commands of training itself; TensorFlow is imported only when one runs."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime, timezone
from pathlib import Path

import click

from scenery.errors import ConfigurationError
from training.cluster import MULTI_WORKER, ONE

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)

_CSV, _DATA, _TRAINING = (
    Path("examples") / name for name in ("photos/data.csv", "data_config.yaml", "training_config.yaml")
)

_CSV_PATH = click.option(
    "--csv_path", "--csv-path", "csv_path", type=_FILE,
    help="The table of photos: a column of names and a column of 0 or 1 for each label. "
    f"[default: {_CSV}]",
)  # fmt: skip
_DATA_CONFIG_PATH = click.option(
    "--data_config_path", "--data-config-path", "data_config_path", type=_FILE,
    help=f"What the photos and labels are. [default: {_DATA}]",
)  # fmt: skip
_TRAINING_CONFIG_PATH = click.option(
    "--training_config_path", "--training-config-path", "training_config_path", type=_FILE,
    help=f"How to train. [default: {_TRAINING}]",
)  # fmt: skip


@click.command()
@_CSV_PATH
@_DATA_CONFIG_PATH
@_TRAINING_CONFIG_PATH
@click.option("--run-dir", type=_FOLDER, help="Where to write the result. [default: runs/ and the time]")
@click.option("--seed", type=click.IntRange(min=0), help="In place of the configuration's: split, order, changes.")
@click.option(
    "--resume", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="RUN",
    help="Go on with a run that was interrupted; it knows its table and configuration.",
)  # fmt: skip
@click.option(
    "--strategy", type=click.Choice([ONE, MULTI_WORKER]), default=ONE, show_default=True,
    help="Who trains: one process, or all that TF_CONFIG names, each started by this command with the same --run-dir "
    "or --resume. The first of them, the chief, writes and tells.",
)  # fmt: skip
@click.option(
    "--worker-wait-seconds", type=click.FloatRange(min=0), default=300, show_default=True,
    help="How long a worker waits at the start for the others.",
)  # fmt: skip
@click.option(
    "--quick", is_flag=True, help="The same in a minute, on a few small photos: to see that everything works."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the run's record as JSON; progress goes to standard error."
)
def train(
    csv_path: Path | None,
    data_config_path: Path | None,
    training_config_path: Path | None,
    run_dir: Path | None,
    seed: int | None,
    resume: Path | None,
    strategy: str,
    worker_wait_seconds: float,
    quick: bool,
    as_json: bool,
) -> None:
    """Train a classifier from labelled photos.

    Without options this trains the shipped model on the shipped photos, in less than an hour on two cores. The
    table is checked first (`scenery check-data` tells more). What comes out is a folder with the
    network, its figures, report.html and a model card; `scenery publish` makes a version of it.

    Watch it by `tensorboard --logdir runs`.
    """
    if resume and (csv_path or data_config_path or training_config_path or run_dir or seed is not None or quick):
        raise click.UsageError("--resume goes on with a run as it was begun; leave the other options out.")
    if strategy != ONE and not (run_dir or resume):
        raise click.UsageError(f"--strategy {strategy} needs --run-dir: the folder that all workers share.")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from training.begin import begin
    from training.evaluation.evaluate import evaluate_run
    from training.evaluation.table import table
    from training.strategy import joined
    from training.train import assist
    from training.train import train as run_training

    with joined(strategy, worker_wait_seconds) as workers, redirect_stdout(sys.stderr if as_json else sys.stdout):
        folder = resume or run_dir or Path("runs") / datetime.now(timezone.utc).strftime("%Y-%m-%d-%H%M%S")
        if not workers.is_chief:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # the chief tells of the progress
                assist(folder, workers)
            return
        prepared = None
        if resume is None:
            paths = _paths(csv_path, data_config_path, training_config_path)
            prepared = begin(*paths, folder, seed, quick)
        run = run_training(folder, prepared, workers)
        evaluation = evaluate_run(folder)
    if as_json:
        click.echo(json.dumps({"run": str(folder), **dataclasses.asdict(run)}))
        return
    click.echo(f"\n{table(evaluation)}\n\nLook at {folder / 'report.html'}. Next: scenery publish {folder}")


@click.command()
@_CSV_PATH
@_DATA_CONFIG_PATH
@_TRAINING_CONFIG_PATH
@click.option("--photos", "count", type=click.IntRange(1, 20), default=5, show_default=True, help="How many photos.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="augmentation.png", show_default=True,
              help="The picture; its suffix chooses the format.")  # fmt: skip
def preview_augmentation(
    csv_path: Path | None, data_config_path: Path | None, training_config_path: Path | None, count: int, out: Path
) -> None:
    """Draw what the augmentation recipe does to photos.

    A row is a photo: as it is, changed by each change of the recipe alone, and by all of them as training does it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from training.config import load_data_config, load_training_config
    from training.dataset import read_table, samples_of
    from training.preview import draw_preview

    csv_file, data_file, training_file = _paths(csv_path, data_config_path, training_config_path)
    data = load_data_config(data_file)
    config = load_training_config(training_file)
    table = read_table(csv_file, data)
    chosen = table.sample(min(count, len(table)), random_state=config.seed)
    draw_preview(samples_of(chosen, data).paths, data, config, out)
    click.echo(f"{out}: {len(chosen)} photos, {len(config.augmentation)} changes")


def _paths(csv_path: Path | None, data_config: Path | None, training_config: Path | None) -> tuple[Path, Path, Path]:
    """Fill in the shipped files for those that are not named."""
    paths = (csv_path or _CSV, data_config or _DATA, training_config or _TRAINING)
    for path in paths:
        if not path.is_file():
            raise ConfigurationError(f"There is no {path} here. Name your own file, or run this in Scenery's folder.")
    return paths
