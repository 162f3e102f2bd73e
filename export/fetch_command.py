"""``scenery fetch-model``: a model from an address, its SHA-256 verified."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scenery.errors import ConfigurationError

if TYPE_CHECKING:
    from export.download import Tell
    from export.fetch import Fetched

_NAMES = ("model_url", "model_sha256", "model_path")

# \b keeps click from joining the lines that follow.
_HELP = """Fetch the file at URL to PATH, if its SHA-256 is the one expected.

A file that breaks off is gone on with, by this command and the next: PATH.part has what came. PATH
appears in one step, after the bytes on the disk were verified; if it is there already with that
SHA-256, nothing is fetched. With --unpack, PATH is the folder that the archive holds, a SavedModel
or a run. No file is made a version: that is for `scenery publish PATH`, which checks it.

\b
  scenery fetch-model https://host/model.tar.gz 3f786850e387… downloaded/model --unpack
  scenery publish downloaded/model
"""


@click.command(help=_HELP)
@click.argument("model_url", metavar="URL", required=False)
@click.argument("model_sha256", metavar="SHA256", required=False)
@click.argument("model_path", metavar="PATH", required=False)
@click.option("--model-url", "--model_url", "url_option", metavar="URL", help="The same as URL.")
@click.option("--model-sha256", "--model_sha256", "sha256_option", metavar="HEX", help="The same as SHA256.")
@click.option("--model-path", "--model_path", "path_option", metavar="PATH", help="The same as PATH.")
@click.option(
    "--config", "config_file", type=click.Path(dir_okay=False, path_type=Path),
    help="A YAML or JSON file with model_url, model_sha256 and model_path, for what is not given here.",
)  # fmt: skip
@click.option("--unpack", is_flag=True, help="The file is a .tar, .tar.gz or .zip archive; PATH is its folder.")
@click.option("--replace", is_flag=True, help="Replace the file or the one model that PATH is now.")
@click.option(
    "--max-bytes", type=click.IntRange(min=1), default=10 * 10**9, show_default=True,
    help="Largest file, and largest folder that is unpacked.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def fetch_model(
    model_url: str | None,
    model_sha256: str | None,
    model_path: str | None,
    url_option: str | None,
    sha256_option: str | None,
    path_option: str | None,
    config_file: Path | None,
    unpack: bool,
    replace: bool,
    max_bytes: int,
    as_json: bool,
) -> None:
    """Fetch by :mod:`export.fetch`, and tell what became of it."""
    from export import fetch

    arguments = dict(zip(_NAMES, (model_url, model_sha256, model_path), strict=True))
    options = dict(zip(_NAMES, (url_option, sha256_option, path_option), strict=True))
    given = _one_of_each(_read_config(config_file) if config_file else {}, arguments, options)
    path = Path(given["model_path"])
    wanted = fetch.Wanted(
        given["model_url"], fetch.read_sha256(given["model_sha256"]), path, max_bytes, unpack, replace
    )
    with _progress(path.name) as tell:
        fetched = dataclasses.replace(fetch.fetch(wanted, tell), path=path)
    _tell_json(fetched) if as_json else _tell(fetched, unpack)


def _one_of_each(config: Mapping[str, str], *given: Mapping[str, str | None]) -> dict[str, str]:
    """Return a value for each name; what is given by hand wins over the file, and may be given once."""
    chosen = {name: config[name] for name in _NAMES if name in config}
    for name in _NAMES:
        values = [value for each in given if (value := each[name])]
        if len(values) > 1:
            raise click.UsageError(f"{name} is given twice: {values[0]} and {values[1]}.")
        if values:
            chosen[name] = values[0]
    missing = [name for name in _NAMES if name not in chosen]
    if missing:
        raise click.UsageError(
            f"{', '.join(missing)} is missing. Give URL SHA256 PATH, or options, or a file by --config."
        )
    return chosen


def _read_config(path: Path) -> dict[str, str]:
    import yaml

    try:
        config: Any = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}. It must be YAML or JSON.") from error
    if not isinstance(config, dict):
        raise ConfigurationError(f"{path} must have lines such as model_url: https://… Received: {config!r:.60}")
    for name in _NAMES:
        # A SHA-256 of digits alone is a number in YAML.
        if not isinstance(config.get(name, ""), str):
            raise ConfigurationError(f"{path}: {name} must be text; put it in quotes. Received: {config[name]!r}")
    return {name: config[name] for name in _NAMES if config.get(name)}


@contextmanager
def _progress(name: str) -> Iterator[Tell]:
    """Yield what draws how much has come."""
    bar = click.progressbar(
        length=1, label=f"fetching {name}", file=sys.stderr, hidden=not sys.stderr.isatty(),
        item_show_func=lambda item: item,
    )  # fmt: skip
    drawn = 0

    def tell(have: int, total: int | None) -> None:
        nonlocal drawn
        bar.length = total or have + 1
        bar.update(have - drawn, f"{have / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{have / 1e6:.1f} MB")
        drawn = have

    with bar:
        yield tell


def _tell_json(fetched: Fetched) -> None:
    click.echo(json.dumps(dataclasses.asdict(fetched) | {"is_new": fetched.bytes is not None}, default=str))


def _tell(fetched: Fetched, is_folder: bool) -> None:
    if fetched.bytes is None:
        click.echo(f"{fetched.path} is there already, with this SHA-256; nothing was fetched.")
    else:
        click.echo(f"{fetched.path}: {fetched.bytes / 1e6:.1f} MB came, and their SHA-256 is the expected one.")
    if is_folder:
        click.echo(f"Let the gate make it a version: scenery publish {fetched.path}")
