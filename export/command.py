"""The commands of this stage; TensorFlow is imported only when they run."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from export.gate.verdict import CHECKS
from scenery import contract
from scenery.errors import ExportError
from scenery.onednn import prefer_onednn

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.export import Lite
    from export.gate.verdict import Verdict
    from export.lite.convert import Precision
    from export.publish import Published

_WIDTHS = (max(map(len, CHECKS)), len("not run"))


def _checked_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    """Refuse a name that would lead out of the folder of models."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise click.BadParameter(
            f"{name!r} must be letters, digits, '_', '-' and '.' only, and begin with none of the latter."
        )
    return name


_MODEL_NAME = click.option(
    "--model-name", callback=_checked_name, default=contract.MODEL_NAME, show_default=True, help="The servable's name."
)
_MODELS_DIR = click.option(
    "--models-dir", type=click.Path(file_okay=False, path_type=Path), default="models", show_default=True,
    help="The folder that model servers watch.",
)  # fmt: skip
_MAX_PIXELS = click.option(
    "--max-pixels", type=click.IntRange(min=1), default=contract.MAX_PIXELS, show_default=True,
    help="The model of a run refuses larger photos before decoding them.",
)  # fmt: skip
_PRECISION = click.option(
    "--precision", type=click.Choice(["float32", "int8"]),
    help="Write the network as model.tflite, too, in this precision: for the embedded model server's "
    "--prefer_tflite_model; whether it is faster depends on the processor (ADR 22). "
    "[default: the SavedModel alone]",
)  # fmt: skip
_CALIBRATION = click.option(
    "--calibration", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Photos that int8's ranges are measured on; of a folder that holds them, those the run was trained on. "
    "[default: where the run says these were]",
)  # fmt: skip
_PRECISION_MARGIN = click.option(
    "--precision-margin", type=click.FloatRange(0, 1), default=0.005, show_default=True,
    help="How much lower the macro average precision by model.tflite may be than by the SavedModel.",
)  # fmt: skip
_EVALUATION = click.option(
    "--evaluation", type=click.Path(dir_okay=False, path_type=Path), default="examples/photos/evaluation.csv",
    show_default=True, help="Held-out photos: a CSV of file names, and a column of 0 or 1 for each label.",
)  # fmt: skip
_PHOTOS = click.option(
    "--photos", type=click.Path(file_okay=False, path_type=Path),
    help="The folder of these photos. [default: images, beside the CSV]",
)  # fmt: skip


def _lite(precision: Precision | None, calibration: Path | None) -> Lite | None:
    if calibration is not None and precision != "int8":
        raise click.UsageError("--calibration is for --precision int8.")
    if precision is None:
        return None
    from export.export import Lite

    return Lite(precision, calibration)


def _refuse_without_precision(context: click.Context) -> None:
    """Refuse what only tells how a ``model.tflite`` is judged, where none is wanted."""
    for name in ("precision_margin", "evaluation", "photos"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} is for --precision.")


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_MODEL_NAME
@_MODELS_DIR
@click.option("--version", type=click.IntRange(min=1), help="The version's number. [default: the next one]")
@_MAX_PIXELS
@_PRECISION
@_CALIBRATION
@_PRECISION_MARGIN
@_EVALUATION
@_PHOTOS
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def export(
    run: Path,
    model_name: str,
    models_dir: Path,
    version: int | None,
    max_pixels: int,
    precision: Precision | None,
    calibration: Path | None,
    precision_margin: float,
    evaluation: Path,
    photos: Path | None,
    as_json: bool,
) -> None:
    """Write the model trained in RUN as a new version that model servers pick up.

    The version is written aside, loaded the way TensorFlow Serving loads it, compared with the
    trained network on held-out photos, and only then renamed into place. `scenery publish` also
    compares it with the version that serves.
    """
    prefer_onednn()
    lite = _lite(precision, calibration)
    if lite is None:
        _refuse_without_precision(click.get_current_context())
    from export import export as exporting
    from export.gate.gate import Gate

    gate = Gate(evaluation, photos, precision_margin=precision_margin)
    exported = exporting.export(run, models_dir / model_name, version, max_pixels, lite, gate)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(exported), default=str))
        return
    click.echo(f"{exported.path}: {exported.bytes / 1e6:.1f} MB")
    click.echo(f"answers the golden photos as the trained network did, to {exported.largest_difference:.1g}")
    if exported.precision is not None:
        click.echo(exported.precision.detail)


def _force_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a flag for each check."""
    for check in reversed(CHECKS):
        flag = click.option(f"--force-{check}", is_flag=True, help=f"Publish even if {check!r} refuses; recorded.")
        command = flag(command)
    return command


# \b keeps click from joining the lines that follow.
_PUBLISH_HELP = """Make a trained run, or a SavedModel, the next version, if it passes the gate.

\b
operations  every operation of the graph is on a list of harmless ones
manifest    the files are those that were written (SHA-256)
golden      it loads, and answers photos as the trained network did
describe    it tells labels, thresholds and where it comes from
warmup      its warmup requests are answered
precision   its model.tflite, if it has one, is no worse than its SavedModel
quality     no label is worse than in the version that serves
latency     it is not slower than the version that serves

The version appears in one step or not at all, and carries the verdicts in
assets.extra/gate.json.
"""


@click.command(help=_PUBLISH_HELP)
@click.argument("source", metavar="RUN_OR_SAVEDMODEL", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_MODEL_NAME
@_MODELS_DIR
@click.option(
    "--config", "config_file", type=click.Path(dir_okay=False, path_type=Path), default="serving.config",
    show_default=True, help="Tells which version serves, to compare with; without the file the highest does.",
)  # fmt: skip
@_EVALUATION
@_PHOTOS
@click.option(
    "--quality-margin", type=click.FloatRange(0, 1), default=0.05, show_default=True,
    help="How much lower a label's F1 or average precision may be than the serving version's.",
)  # fmt: skip
@click.option(
    "--latency-ratio", type=click.FloatRange(min=0, min_open=True), default=1.25, show_default=True,
    help="How many times the serving version's time of a photo is allowed.",
)  # fmt: skip
@_MAX_PIXELS
@_PRECISION
@_CALIBRATION
@_PRECISION_MARGIN
@click.option(
    "--nice", "niceness", type=click.IntRange(0, 19), default=19, show_default=True,
    help="How far it gives way to what else runs here: 19 takes what others leave, 0 its share.",
)  # fmt: skip
@_force_flags
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
def publish(
    source: Path,
    model_name: str,
    models_dir: Path,
    config_file: Path,
    evaluation: Path,
    photos: Path | None,
    quality_margin: float,
    latency_ratio: float,
    max_pixels: int,
    precision: Precision | None,
    calibration: Path | None,
    precision_margin: float,
    niceness: int,
    as_json: bool,
    **force: bool,
) -> None:
    """Publish by :mod:`export.publish`, and tell the verdicts as they come."""
    os.nice(niceness)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    prefer_onednn()
    lite = _lite(precision, calibration)
    from export import publish as publishing
    from export.gate.gate import Gate

    forced = frozenset(check for check in CHECKS if force[f"force_{check}"])
    tell = (lambda _: None) if as_json else _tell_verdict
    gate = Gate(evaluation, photos, quality_margin, precision_margin, latency_ratio, forced, tell)
    published = publishing.publish(source, models_dir / model_name, gate, config_file, max_pixels, lite)
    if as_json:
        click.echo(json.dumps(_as_json(published)))
    if published.path is None:
        flags = " ".join(f"--force-{check}" for check in published.stopped_by)
        raise ExportError(
            f"The gate refused it ({', '.join(published.stopped_by)}); nothing was published and what serves goes on. "
            f"Mend it, or overrule the gate: {flags}"
        )
    if not as_json:
        click.echo(f"{published.path} is published: {_next_step(published.path.name, published.waits)}")


def _next_step(version: str, waits: bool) -> str:
    if waits:
        return f"it serves nobody yet. Give it to some callers: scenery canary {version}"
    return "as serving.config is, model servers give it to all callers at once."


def _tell_verdict(verdict: Verdict) -> None:
    check, outcome = _WIDTHS
    click.echo(f"{verdict.check:{check}}  {verdict.verdict:{outcome}}  {verdict.detail}")


def _as_json(published: Published) -> dict[str, Any]:
    path = published.path
    return {"version": int(path.name) if path else None, "path": str(path) if path else None, **published.report}
