"""The commands of this stage; TensorFlow is imported only when one runs."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--csv_path", "--csv-path", "csv_path", type=_FILE, default="examples/photos/data.csv", show_default=True,
    help="The table of photos: a column of names and a column of 0 or 1 for each label.",
)  # fmt: skip
@click.option(
    "--data_config_path", "--data-config-path", "data_config_path", type=_FILE,
    default="examples/data_config.yaml", show_default=True, help="What the photos and labels are.",
)  # fmt: skip
@click.option(
    "--training_config_path", "--training-config-path", "training_config_path", type=_FILE,
    default="examples/training_config.yaml", show_default=True, help="How to train.",
)  # fmt: skip
@click.option(
    "--run-dir", type=click.Path(file_okay=False, path_type=Path),
    help="Where to write the result. [default: runs/ and the time]",
)  # fmt: skip
def train(csv_path: Path, data_config_path: Path, training_config_path: Path, run_dir: Path | None) -> None:
    """Train a classifier from labelled photos.

    Without options this trains the shipped model on the shipped photos, in about half an hour on
    two cores. What comes out is a folder; `scenery export` makes a servable version of it.
    """
    from training import train as training

    run_dir = run_dir or Path("runs") / datetime.now(timezone.utc).strftime("%Y-%m-%d-%H%M%S")
    run = training.train(csv_path, data_config_path, training_config_path, run_dir)
    test = run.metrics["test"]
    click.echo(
        f"\nOn {test['photos']} held-out photos: binary accuracy {test['binary_accuracy']:.3f}, "
        f"macro F1 {test['macro_f1']:.3f}, exact match {test['exact_match']:.3f}"
    )
    click.echo(f"{'label':14}{'positives':>10}{'precision':>10}{'recall':>10}{'F1':>10}")
    for label, figures in test["labels"].items():
        values = (figures[name] for name in ("precision", "recall", "f1"))
        click.echo(f"{label:14}{figures['positives']:>10}" + "".join(f"{value:>10.3f}" for value in values))
    click.echo(f"\nThe run is in {run_dir}. Next: scenery export {run_dir}")
