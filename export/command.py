"""The command of this stage; TensorFlow is imported only when it runs."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import click

from scenery import contract


def _checked_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    """Refuse a name that would lead out of the folder of models."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise click.BadParameter(
            f"{name!r} must be letters, digits, '_', '-' and '.' only, and begin with none of the latter."
        )
    return name


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model-name", callback=_checked_name, default=contract.MODEL_NAME, show_default=True, help="The servable's name."
)
@click.option(
    "--models-dir", type=click.Path(file_okay=False, path_type=Path), default="models", show_default=True,
    help="The folder that model servers watch.",
)  # fmt: skip
@click.option("--version", type=click.IntRange(min=1), help="The version's number. [default: the next one]")
@click.option(
    "--max-pixels", type=click.IntRange(min=1), default=contract.MAX_PIXELS, show_default=True,
    help="The model refuses larger photos before decoding them.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def export(run: Path, model_name: str, models_dir: Path, version: int | None, max_pixels: int, as_json: bool) -> None:
    """Write the model trained in RUN as a new version that model servers pick up.

    The version is written aside, loaded the way TensorFlow Serving loads it, compared with the
    trained network on held-out photos, and only then renamed into place.
    """
    from export import export as exporting

    exported = exporting.export(run, models_dir / model_name, version, max_pixels)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(exported), default=str))
        return
    click.echo(f"{exported.path}: {exported.bytes / 1e6:.1f} MB")
    click.echo(f"answers the golden photos as the trained network did, to {exported.largest_difference:.1g}")
