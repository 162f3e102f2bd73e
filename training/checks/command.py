"""The command ``scenery check-data``; pandas and TensorFlow are imported only when it runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scenery.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from training.checks.checks import Checked
    from training.checks.finding import Finding
    from training.config import DataConfig

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
    "--seed", default=1, show_default=True,
    help="The seed of the split to check, as in the training's YAML. A table with a column `part` has its own.",
)  # fmt: skip
@click.option(
    "--tiny-pixels", type=click.IntRange(min=1), default=64, show_default=True,
    help="Warn of photos whose shorter side has fewer pixels.",
)  # fmt: skip
@click.option(
    "--suspicious/--no-suspicious", default=True, show_default=True,
    help="Whether to look for labels that are probably wrong: 40 photos a second, the next time much faster.",
)  # fmt: skip
@click.option(
    "--sheet", type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the photos concerned on this PNG; a name with -2, -3 … has the next ones.",
)  # fmt: skip
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def check_data(
    csv_path: Path,
    data_config_path: Path,
    seed: int,
    tiny_pixels: int,
    suspicious: bool,
    sheet: Path | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Check a table of photos before it is trained on, and tell everything that is found at once.

    \b
    Errors     a training would stop: columns or photos that are missing or cannot be read,
               cells that are not 0 or 1, one photo with two opinions or on two sides of the split
    Warnings   a training would suffer: duplicates, tiny photos, labels of few photos
    Hints      labels that a model which did not see the photo contradicts; many are right

    The exit status is 0 if there is no error (with --strict, no warning either), else 1.
    Features of photos are kept in ~/.cache/scenery, or below $XDG_CACHE_HOME.
    """  # noqa: D301  click's \b
    from training.checks import report
    from training.checks.checks import check_split_by, check_table
    from training.config import load_data_config

    _require_png(sheet)
    config = load_data_config(data_config_path)
    checked = check_table(csv_path, config, tiny_pixels)
    findings = checked.findings + check_split_by(seed, checked, config)
    if suspicious and len(checked.table):
        findings += _suspicious(checked, config)
    tell = _json if as_json else report.as_text
    click.echo(tell(findings, checked.table, config.targets))
    if sheet is not None:
        _draw(sheet, findings, checked, config)
    severities = {finding.check.severity for finding in findings}
    if severities & ({"error", "warning"} if strict else {"error"}):
        raise click.exceptions.Exit(1)


def _require_png(sheet: Path | None) -> None:
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise ConfigurationError(f"--sheet must be a file name in .png. Received: {sheet}")
    if sheet is not None and not sheet.parent.is_dir():
        raise ConfigurationError(f"--sheet: there is no folder {sheet.parent}. Make it first.")


def _suspicious(checked: Checked, config: DataConfig) -> list[Finding]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # or it greets, in many lines, whatever it finds
    from training.checks.photos import UNREADABLE
    from training.checks.suspicious import check_suspicious
    from training.features import features_of

    paths = [config.images_base_path / name for name in checked.table[config.image_name_col]]
    with click.progressbar(paths, label="looking at photos", file=sys.stderr, hidden=not sys.stderr.isatty()) as photos:
        try:
            features = features_of(photos, len(paths))
        except DataError as error:  # of a photo that Pillow reads and the graph does not
            return [UNREADABLE.found(f"{error}.")]
    return check_suspicious(checked.table, config, features)


def _json(*told: object) -> str:
    from training.checks.report import as_json

    return json.dumps(as_json(*told), indent=2, ensure_ascii=False)  # type: ignore[arg-type]


def _draw(sheet: Path, findings: list[Finding], checked: Checked, config: DataConfig) -> None:
    from training.checks.sheet import write_sheets

    try:
        files = write_sheets(sheet, findings, config.images_base_path, set(checked.photos))
    except OSError as error:
        raise ConfigurationError(f"{sheet} cannot be written ({error.strerror}). Name another file.") from error
    names = ", ".join(map(str, files))
    click.echo(f"The photos concerned are drawn in {names}." if files else "No photo to draw.", err=True)
