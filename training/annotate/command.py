"""The command ``scenery annotate``."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scenery.signals import interrupt_on_termination

if TYPE_CHECKING:
    from training.annotate.report import Report
    from training.annotate.table import Table
    from training.annotate.task import Task, Watch

_HELP = """Label the photos of FOLDER by hand, and write the table that `scenery train` reads.

\b
  scenery annotate photos/ --labels beach,city,sunset,trees
  scenery annotate photos/ --prefill models/scenery/1     # correct a model's guesses
  scenery annotate photos/ --check                        # only report; write nothing
  scenery annotate photos/ --tool none                    # files to table, and report
  scenery annotate photos/ --tool none --from-csv         # table to files

FOLDER has the photos, or is what `scenery collect` wrote. Labelme opens if it is installed, otherwise a
page in your browser; photos never leave this machine. In the page, 1 to 9 give a label, Enter saves and goes on.
In Labelme, a photo counts once it is saved: where nothing is to change, check a flag and uncheck it again.

Beside each photo lies a JSON with its flags, in Labelme's format, written with each answer: stop whenever
you like, and go on later. When the tool ends, the labels that a person confirmed go into the table; a photo that
nobody has looked at gets no 0, and other columns stay. Photos that the table labels already need no second look.

The report names unlabelled photos, and conflicts: a table that was changed after the photo's file and
contradicts it (--from-csv and --from-json settle that), labels that the task does not have or a file lacks, files
and rows without a photo, files that cannot be read, photos that look the same and are labelled differently.

Exit status: 0 if every photo is labelled and nothing conflicts, else 1.
"""

_FILE = click.Path(dir_okay=False, path_type=Path)
_DATA_CONFIG = Path("examples/data_config.yaml")


@click.command(help=_HELP)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--labels", help="The labels to give, with commas between. [default: FOLDER's flags.txt]")
@click.option(
    "--data-config", type=_FILE,
    help=f"Or a YAML file whose targets they are. [default: {_DATA_CONFIG}, if there is no flags.txt]",
)  # fmt: skip
@click.option(
    "--csv", "csv_path", type=_FILE, help="The table. [default: data.csv in FOLDER, or where scenery collect wrote it]"
)
@click.option(
    "--prefill", "model", type=click.Path(file_okay=False, path_type=Path),
    help="Guess the labels of unlabelled photos by a model: a run's folder, or a version's.",
)  # fmt: skip
@click.option(
    "--tool", type=click.Choice(["auto", "labelme", "page", "none"]), default="auto", show_default=True,
    help="What to label with; none opens nothing.",
)  # fmt: skip
@click.option("--from-csv", is_flag=True, help="First give the photos the table's labels, also where they differ.")
@click.option("--from-json", is_flag=True, help="Believe the photos' files, also where the table is newer.")
@click.option("--check", "is_check", is_flag=True, help="Only report; open and write nothing.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The page's port. [default: a free one]")
@click.option("--no-browser", is_flag=True, help="Say the page's address, and let me open it.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def annotate(
    folder: Path,
    labels: str | None,
    data_config: Path | None,
    csv_path: Path | None,
    model: Path | None,
    tool: str,
    from_csv: bool,
    from_json: bool,
    is_check: bool,
    port: int,
    no_browser: bool,
    as_json: bool,
) -> None:
    """Label photos."""
    _refuse({
        "--labels and --data-config both name labels; give one of them.": bool(labels and data_config),
        "--from-csv believes the table and --from-json the files; give one of them.": from_csv and from_json,
        "--check opens and writes nothing; leave --tool, --prefill and --from-csv out.":
            is_check and (tool != "auto" or model is not None or from_csv),
    })  # fmt: skip
    from training.annotate.task import labelled_alone, open_task

    interrupt_on_termination()  # What was labelled is in the table, however it ends.
    names = [label.strip() for label in (labels or "").split(",") if label.strip()]
    task = open_task(folder, csv_path, names, _config_of(folder, labels, data_config))
    if is_check:
        report = _report(task, from_json, write=False)
    else:
        with labelled_alone(task):
            _label(task, model, from_csv, tool, port, not no_browser)
            report = _report(task, from_json, write=True)
    click.echo(json.dumps(report.as_json()) if as_json else report.as_text())
    if not is_check and task.csv_path.exists():
        _say(f"\nThe table is {task.csv_path}.")
    if not report.is_clean:
        sys.exit(1)


def _refuse(contradictions: dict[str, bool]) -> None:
    for contradiction, is_there in contradictions.items():
        if is_there:
            raise click.UsageError(contradiction)


def _config_of(folder: Path, labels: str | None, data_config: Path | None) -> Path | None:
    """Return the data config to read; the shipped one where nothing else names labels."""
    from training.annotate.labelme import FLAGS_FILE

    has_labels = labels is not None or any((place / FLAGS_FILE).is_file() for place in (folder, folder / "images"))
    return _DATA_CONFIG if data_config is None and not has_labels and _DATA_CONFIG.is_file() else data_config


def _label(task: Task, model: Path | None, from_csv: bool, tool: str, port: int, open_browser: bool) -> None:
    """Bring the photos' files up to the table, fill the rest in, and let a person label."""
    from training.annotate.labelme import write_flags_file
    from training.annotate.table import read_table, write_files

    table = read_table(task)
    annotations, _ = task.annotations()
    if from_csv or tool != "none":
        count = write_files(task, table, annotations, table_wins=from_csv)
        if count:
            _say(f"{count} photos have the labels of {task.csv_path} in a file now.")
    if model:
        _prefill(task, table, model)
    if backup := write_flags_file(task.folder, task.labels):
        _say(f"{backup.with_suffix('')} had other labels; it is kept as {backup.name}.")
    _open_tool(task, tool, port, open_browser)


def _prefill(task: Task, table: Table, model: Path) -> None:
    from training.annotate.prefill import prefill

    annotations, troubles = task.annotations()
    names = [
        name
        for name in task.names()
        if name not in troubles
        and len(table.flags(name, task.labels)) < len(task.labels)
        and not (name in annotations and annotations[name].confirmed)
    ]
    _say(f"{prefill(task, table, model, names, _watch('asking the model'))} photos have the model's guess.")


def _open_tool(task: Task, tool: str, port: int, open_browser: bool) -> None:
    from training.annotate import desktop

    if tool == "labelme" or (tool == "auto" and desktop.is_installed()):
        desktop.run_labelme(task, _say)
    elif tool != "none":
        from training.annotate.page_server import serve_page

        serve_page(task, port, open_browser, _say)


def _report(task: Task, from_json: bool, write: bool) -> Report:
    """Put the labels into the table, and tell what is left."""
    from training.annotate.report import find_twins, make_report
    from training.annotate.table import read_table, updated, write_table
    from training.table import held

    annotations, troubles = task.annotations()
    with held(task.csv_path) if write else nullcontext():
        before = read_table(task)
        table, disagreements = updated(before, task, annotations, from_json)
        if write and table.rows and table != before:
            write_table(task, table)
    twins, unreadable = find_twins(task, task.names(), _watch("comparing the photos"))
    return make_report(task, table, annotations, troubles | unreadable, disagreements, twins)


def _watch(label: str) -> Watch:
    return lambda names: click.progressbar(names, label=label, file=sys.stderr, hidden=not sys.stderr.isatty())


def _say(words: str) -> None:
    click.echo(words, err=True)
