"""The commands of training itself; TensorFlow is imported only when one runs."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from contextlib import redirect_stdout
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from training.run import Run

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)

_CSV_PATH = click.option(
    "--csv_path", "--csv-path", "csv_path", type=_FILE, default="examples/photos/data.csv", show_default=True,
    help="The table of photos: a column of names and a column of 0 or 1 for each label.",
)  # fmt: skip
_DATA_CONFIG_PATH = click.option(
    "--data_config_path", "--data-config-path", "data_config_path", type=_FILE,
    default="examples/data_config.yaml", show_default=True, help="What the photos and labels are.",
)  # fmt: skip
_TRAINING_CONFIG_PATH = click.option(
    "--training_config_path", "--training-config-path", "training_config_path", type=_FILE,
    default="examples/training_config.yaml", show_default=True, help="How to train.",
)  # fmt: skip


@click.command()
@_CSV_PATH
@_DATA_CONFIG_PATH
@_TRAINING_CONFIG_PATH
@click.option("--run-dir", type=_FOLDER, help="Where to write the result. [default: runs/ and the time]")
@click.option("--seed", type=click.IntRange(min=0), help="In place of the configuration's: split, order, changes.")
@click.option("--resume", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="RUN",
              help="Go on with a run that was interrupted; the other options are read from it.")  # fmt: skip
@click.option(
    "--quick", is_flag=True, help="The same in a minute, on a few small photos: to see that everything works."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the run's record as JSON; progress goes to standard error."
)
def train(
    csv_path: Path,
    data_config_path: Path,
    training_config_path: Path,
    run_dir: Path | None,
    seed: int | None,
    resume: Path | None,
    quick: bool,
    as_json: bool,
) -> None:
    """Train a classifier from labelled photos.

    Without options this trains the shipped model on the shipped photos, in less than an hour on two cores. The
    table is checked first (`scenery check-data` tells more). What comes out is a folder with the
    network, its figures, report.html and a model card; `scenery publish` makes a version of it.

    Watch it by `tensorboard --logdir runs`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from training.begin import begin
    from training.train import train as run_training

    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        folder = resume or run_dir or Path("runs") / datetime.now(timezone.utc).strftime("%Y-%m-%d-%H%M%S")
        if resume is None:
            begin(csv_path, data_config_path, training_config_path, folder, seed, quick)
        run = run_training(folder)
    click.echo(json.dumps({"run": str(folder), **dataclasses.asdict(run)}) if as_json else _told(run, folder))


def _told(run: Run, run_dir: Path) -> str:
    test = run.metrics["test"]
    lines = [
        f"\nOn {test['photos']} held-out photos: binary accuracy {test['binary_accuracy']:.3f}, "
        f"macro F1 {test['macro_f1']:.3f}, exact match {test['exact_match']:.3f}, "
        f"calibration error {test['ece']:.3f}",
        f"{'label':14}{'positives':>10}{'precision':>10}{'recall':>10}{'F1':>10}{'avg. prec.':>12}",
    ]
    for label, figures in test["labels"].items():
        values = (figures[name] for name in ("precision", "recall", "f1", "average_precision"))
        lines.append(f"{label:14}{figures['positives']:>10}" + "".join(f"{value:>10.3f}" for value in values))
    lines.append(f"\nLook at {run_dir / 'report.html'}. Next: scenery publish {run_dir}")
    return "\n".join(lines)


@click.command()
@_CSV_PATH
@_DATA_CONFIG_PATH
@_TRAINING_CONFIG_PATH
@click.option("--photos", "count", type=click.IntRange(1, 20), default=5, show_default=True, help="How many photos.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="augmentation.png", show_default=True,
              help="The picture; its suffix chooses the format.")  # fmt: skip
def preview_augmentation(
    csv_path: Path, data_config_path: Path, training_config_path: Path, count: int, out: Path
) -> None:
    """Draw what the augmentation recipe does to photos.

    A row is a photo: as it is, changed by each change of the recipe alone, and by all of them as training does it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from training.config import load_data_config, load_training_config
    from training.dataset import read_table, samples_of
    from training.preview import draw_preview

    data = load_data_config(data_config_path)
    config = load_training_config(training_config_path)
    table = read_table(csv_path, data)
    chosen = table.sample(min(count, len(table)), random_state=config.seed)
    draw_preview(samples_of(chosen, data).paths, data, config, out)
    click.echo(f"{out}: {len(chosen)} photos, {len(config.augmentation)} changes")
