"""The command ``scenery evaluate``; pandas, matplotlib and TensorFlow are imported only when it runs."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scenery.errors import ConfigurationError

if TYPE_CHECKING:
    from training.dataset import Part
    from training.evaluation.evaluation import Evaluation

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

# \b keeps click from joining the lines that follow.
_HELP = """Tell how good MODEL is: a run folder, or a version such as models/scenery/1.

\b
  scenery evaluate runs/2025-01-31-120000 --open
  scenery evaluate runs/2025-01-31-120000 --folds 5
  scenery evaluate models/scenery/1 --csv-path my.csv --out my-evaluation

A run is judged by the test part of its own table, which chose nothing; thresholds and calibration
come from its validation part. evaluation.json, report.html and model_card.md are written into it.

With --csv-path any model is judged by any labelled table, with the thresholds that it has. Without
--data-config-path the file names are in the column name, and the photos in the folder images beside
the table. A version's folder is never written to: say where with --out.

Ranges are bootstrap intervals: 95 of 100 draws of the photos' sources lie in them. --folds trains a
network for each fold with the run's own configuration, which takes as long as so many trainings;
interrupted, it goes on where it was.
"""


@click.command(help=_HELP)
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--part", type=click.Choice(("test", "validation", "train")),
    help="Which part of a run's table. [default: test]",
)  # fmt: skip
@click.option("--csv-path", "--csv_path", type=_FILE, help="Another table: names, and a column of 0 or 1 a label.")
@click.option(
    "--data-config-path", "--data_config_path", type=_FILE,
    help="What the photos and labels are. [default: the run's own]",
)  # fmt: skip
@click.option("--folds", "count", type=click.IntRange(2, 20), help="Cross-validate too, with so many folds.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to. [default: the run; evaluation-… in it for another part or table]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print evaluation.json instead of a table.")
@click.option("--open", "opens", is_flag=True, help="Show the report in the browser.")
def evaluate(
    model: Path,
    part: Part | None,
    csv_path: Path | None,
    data_config_path: Path | None,
    count: int | None,
    out: Path | None,
    as_json: bool,
    opens: bool,
) -> None:
    """Evaluate a model."""
    is_run = (model / "run.json").is_file()
    if not is_run and not (model / "saved_model.pb").is_file():
        raise ConfigurationError(
            f"{model} is no model: it has neither run.json nor saved_model.pb. "
            "Name a folder that `scenery train` wrote, or a version such as models/scenery/1."
        )
    _refuse_contradictions(part, csv_path, count, out, is_run)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    folder = _folder(model, part, csv_path, out)
    if not as_json:
        click.echo(f"evaluating {model}", err=True)
    with redirect_stdout(sys.stderr):  # what trainings tell
        evaluation = _evaluate(model, part, csv_path, data_config_path, count, folder)
    _tell(evaluation, folder, as_json)
    if opens:
        click.launch((folder / "report.html").resolve().as_uri())


def _refuse_contradictions(
    part: Part | None, csv_path: Path | None, count: int | None, out: Path | None, is_run: bool
) -> None:
    """Raise click.UsageError where options contradict one another."""
    contradictions = {
        "--csv-path names a table and --part a part of the run's own; give one of them.": csv_path and part,
        "--folds trains on the run's own table; leave --csv-path and --part out.": count and (csv_path or part),
        "A version keeps no photos to judge it by; name a table with --csv-path.": not is_run and not csv_path,
        "A version's folder is not written to; say with --out where the report goes.": not is_run and not out,
    }
    for contradiction, is_there in contradictions.items():
        if is_there:
            raise click.UsageError(contradiction)


def _folder(model: Path, part: Part | None, csv_path: Path | None, out: Path | None) -> Path:
    """Return where to write; only the test part is the run's own."""
    if out is not None:
        return out
    other = csv_path.stem if csv_path else part
    return model if other in (None, "test") and not csv_path else model / f"evaluation-{other}"


def _evaluate(
    model: Path, part: Part | None, csv_path: Path | None, data_config_path: Path | None, count: int | None, out: Path
) -> Evaluation:
    from training.evaluation import evaluate as evaluating

    if csv_path:
        return evaluating.evaluate_table(model, csv_path, data_config_path, out)
    if count:
        from training.evaluation.retrain import trainer

        return evaluating.cross_validate_run(model, count, trainer(model, data_config_path), data_config_path, out)
    return evaluating.evaluate_run(model, part or evaluating.DEFAULT_PART, data_config_path, out)


def _tell(evaluation: Evaluation, folder: Path, as_json: bool) -> None:
    from training.evaluation.table import table

    click.echo(json.dumps(evaluation.as_json()) if as_json else table(evaluation))
    if not as_json:
        click.echo(f"\nThe report is {folder / 'report.html'}.")
