"""The command ``scenery review``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scenery.signals import interrupt_on_termination

if TYPE_CHECKING:
    from training.config import DataConfig

T = TypeVar("T")

_HELP = """Turn the photos that a proxy kept in SAMPLE into a task to label, and labelled ones into training data.

\b
  scenery review /var/lib/scenery/sample --out week-47
  scenery annotate week-47
  scenery review --adopt week-47 --csv-path my.csv --data-config-path my_data.yaml
  scenery train --csv-path my.csv --data-config-path my_data.yaml

The first step takes the photos out of SAMPLE, those that the model was least sure of first, its answer filled
in for a person to correct. Photos that look like one of the training table, or like one another, are dropped.
SAMPLE is emptied of what was taken once the task is on disk, and not before.

The last step adds the photos that a person has labelled to the table, each as a source of its own, and
copies them to the table's photos; the table as it was stays beside it, as .bak. Do it as often as you like:
nothing is added twice. It also tells how often the model was right with the photos of people, by those that
chance drew: the unsure ones alone would tell too little.

A proxy keeps photos if SCENERY_SAMPLE_FOLDER says where. They may show people: remove a task that is done.
"""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_CSV_PATH, _DATA_CONFIG_PATH = "examples/photos/data.csv", "examples/data_config.yaml"


@click.command(help=_HELP)
@click.argument("sample", type=_FOLDER, required=False)
@click.option(
    "--out", type=click.Path(path_type=Path),
    help="Where to write the task; nothing may be there. [default: runs/review- and the day]",
)  # fmt: skip
@click.option("--copy", "is_copy", is_flag=True, help="Leave the photos in SAMPLE as well.")
@click.option("--adopt", "task", type=_FOLDER, help="Add the labelled photos of this task to the training table.")
@click.option(
    "--csv_path", "--csv-path", "csv_path", type=_FILE,
    help=f"The training table. [default: {_CSV_PATH}; with --adopt it must be named]",
)  # fmt: skip
@click.option(
    "--data_config_path", "--data-config-path", "data_config_path", type=_FILE,
    help=f"What its photos and labels are. [default: {_DATA_CONFIG_PATH}; with --adopt it must be named]",
)  # fmt: skip
@click.option("--licence", default="user", show_default=True, help="With --adopt: what the licence column says.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def review(
    sample: Path | None,
    out: Path | None,
    is_copy: bool,
    task: Path | None,
    csv_path: Path | None,
    data_config_path: Path | None,
    licence: str,
    as_json: bool,
) -> None:
    """Review kept photos."""
    _refuse_contradictions(sample, task, out is not None or is_copy, csv_path is None or data_config_path is None)
    from training.config import load_data_config

    interrupt_on_termination()  # What is half written is removed, however it ends.
    table = csv_path or Path(_CSV_PATH)
    config_file = data_config_path or Path(_DATA_CONFIG_PATH)
    config = load_data_config(config_file)
    if task is not None:
        told, text = _adopt(task, table, config, licence)
        next_command = f"train --csv-path {table} --data-config-path {config_file}"
        text += f"\n\nNext: scenery {next_command if told['added'] or told['known'] else f'annotate {task}'}"
    else:
        assert sample is not None
        told, text = _take(sample, out or _default_out(), table, config, is_copy)
        place = f"--csv-path {csv_path or 'TABLE'} --data-config-path {data_config_path or 'DATA_CONFIG'}"
        if told["photos"]:
            text += f"\n\nNext: scenery annotate {told['task']}\nThen: scenery review --adopt {told['task']} {place}"
    click.echo(json.dumps(told) if as_json else text)


def _refuse_contradictions(sample: Path | None, task: Path | None, has_out: bool, lacks_table: bool) -> None:
    if (sample is None) == (task is None):
        raise click.UsageError("Name the SAMPLE of a proxy to make a task of it, or --adopt a task; one of them.")
    if task is not None and has_out:
        raise click.UsageError("--out and --copy are for a SAMPLE; leave them out with --adopt.")
    if task is not None and lacks_table:
        raise click.UsageError(
            "--adopt changes a table: name it with --csv-path, and its config with --data-config-path."
        )


def _take(sample: Path, out: Path, csv_path: Path, config: DataConfig, is_copy: bool) -> tuple[dict[str, Any], str]:
    from training.review.distinct import sort_out
    from training.review.kept import read_sample, remove_kept, require_labels
    from training.review.task import require_free, write_task

    require_free(out)
    require_labels(sample, config.targets)
    known = _fingerprints(
        csv_path, config
    )  # takes long, in which a busy proxy keeps others: so the sample is read after
    kept, troubles = read_sample(sample)
    # Of two that look the same, the one that chance drew stays: only such a one tells how good the model is.
    by_chance_first = sorted(kept, key=lambda each: each.name.reason != "uniform")
    photos = sort_out([each.picture for each in by_chance_first], known)
    distinct, twins = set(photos.distinct), set(photos.twins)
    with _watched([each for each in kept if each.picture in distinct], "writing the task") as watched:
        chosen = write_task(out, watched, config.targets)
    if not is_copy:
        remove_kept([*chosen, *(each for each in kept if each.picture in twins)])
    troubles += list(photos.unreadable.values())
    for trouble in troubles:
        click.echo(f"Left where it is: {trouble}", err=True)
    by_chance = sum(each.name.reason == "uniform" for each in chosen)
    told = {
        "task": str(out), "photos": len(chosen), "uniform": by_chance, "twins": len(twins), "left": len(troubles),
    }  # fmt: skip
    if not chosen:
        return told, f"There is nothing to label: {len(twins)} photos look like one that is there already."
    rest = f" {len(twins)} more look like one that is there already." if twins else ""
    return told, (
        f"{len(chosen)} photos are in {out}: {len(chosen) - by_chance} that the model was unsure of, "
        f"{by_chance} that chance drew.{rest}"
    )


def _adopt(folder: Path, csv_path: Path, config: DataConfig, licence: str) -> tuple[dict[str, Any], str]:
    from training.annotate.task import open_task
    from training.review import estimate
    from training.review.adopt import adopt

    task = open_task(folder, None, [], None)
    done = adopt(task, csv_path, config, licence, lambda: _fingerprints(csv_path, config))
    estimates, drawn_unlabelled = estimate.by_version(task)
    told = {
        "added": done.added, "known": done.known, "unlabelled": done.unlabelled,
        "estimates": [estimate.as_json(each) for each in estimates], "uniform_unlabelled": drawn_unlabelled,
    }  # fmt: skip
    lines = [
        f"{len(done.added)} photos are new in {csv_path}; {done.known} were there, {done.unlabelled} are unlabelled."
    ]
    lines += [f"The table as it was: {done.backup}"] if done.backup else []
    lines += [f"\n{estimate.as_text(each)}" for each in estimates]
    if drawn_unlabelled:
        lines += [f"\n{drawn_unlabelled} photos that chance drew are unlabelled; the figures are fair once all are."]
    return told, "\n".join(lines)


def _fingerprints(csv_path: Path, config: DataConfig) -> list[int]:
    """Return the fingerprints of the table's photos."""
    from training.dataset import read_table
    from training.fingerprint import fingerprint

    table = read_table(csv_path, config)
    paths = [config.images_base_path / str(name) for name in table[config.image_name_col]]
    with _watched(paths, "comparing with the table's photos") as watched:
        return [fingerprint(path) for path in watched]


def _watched(items: Iterable[T], label: str) -> AbstractContextManager[Iterable[T]]:
    """Show how far a loop has come."""
    return click.progressbar(items, label=label, file=sys.stderr, hidden=not sys.stderr.isatty())


def _default_out() -> Path:
    return Path("runs") / f"review-{datetime.now(timezone.utc):%Y-%m-%d}"
