"""The commands of this stage: ``scenery status``, ``canary``, ``promote``, ``rollback`` and ``prune``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scenery import contract

if TYPE_CHECKING:
    from rollout.rollout import Rollout

_FILE = click.Path(dir_okay=False, path_type=Path)


def _places(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where everything is."""
    options = (
        click.option("--config", "config_file", type=_FILE, default="serving.config", show_default=True,
                     help="The configuration that the model server reads."),
        click.option("--models-dir", type=click.Path(file_okay=False, path_type=Path), default="models",
                     show_default=True, help="The folder of models."),
        click.option("--traffic-file", type=_FILE, help="What the proxy reads. [default: traffic.json beside it]"),
        click.option("--model-server", default=f"127.0.0.1:{contract.GRPC_PORT}", show_default=True,
                     help="gRPC address of the model server."),
        click.option("--model-name", default=contract.MODEL_NAME, show_default=True, help="The servable's name."),
        click.option("--wait-seconds", type=click.FloatRange(min=0), default=60, show_default=True,
                     help="How long the server may take to follow."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _rollout(
    config_file: Path,
    models_dir: Path,
    traffic_file: Path | None,
    model_server: str,
    model_name: str,
    wait_seconds: float,
) -> Rollout:
    from rollout.rollout import Places, Rollout

    traffic = traffic_file or config_file.parent / contract.TRAFFIC_FILE
    return Rollout(Places(config_file, models_dir, traffic, model_server, model_name, wait_seconds), click.echo)


@click.command()
@_places
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def status(as_json: bool, **places: Any) -> None:
    """Show the versions: on disk, in the model server, their labels and their share of the callers."""
    from rollout import status as showing

    lines = showing.read_status(_rollout(**places))
    click.echo(json.dumps(showing.as_json(lines)) if as_json else showing.table(lines))


@click.command()
@click.argument("version", type=click.IntRange(min=1))
@click.option("--percent", type=click.FloatRange(0, 100), default=10, show_default=True, help="Share of the callers.")
@_places
def canary(version: int, percent: float, **places: Any) -> None:
    """Let VERSION answer a share of the callers, the same ones every time.

    The version is loaded beside the stable one and labelled; only then callers are sent to it.
    """
    _rollout(**places).canary(version, percent)


@click.command()
@click.argument("version", type=click.IntRange(min=1), required=False)
@_places
def promote(version: int | None, **places: Any) -> None:
    """Make VERSION, or else the canary, the stable one for all callers.

    The one that was stable stays loaded, so that `scenery rollback` takes a second or two.
    """
    click.echo(f"version {_rollout(**places).promote(version)} is stable")


@click.command()
@_places
def rollback(**places: Any) -> None:
    """Take the canary back; without one, make the version stable that was so before."""
    click.echo(f"version {_rollout(**places).rollback()} is stable")


@click.command()
@click.option("--keep", type=click.IntRange(min=1), default=3, show_default=True, help="How many to keep at least.")
@_places
def prune(keep: int, **places: Any) -> None:
    """Remove old versions from disk, but none that serves, has a label, or was the last good one."""
    from rollout import prune as pruning

    rollout = _rollout(**places)
    entry = rollout.entry()
    needed = {*rollout.server.available(), *entry.labels.values(), *entry.versions}
    needed |= {good for good in [rollout.last_good()] if good is not None}
    removed = pruning.prune(rollout.places.models_dir / rollout.places.model_name, keep, needed)
    click.echo(f"removed: {', '.join(map(str, removed)) or 'none'}")
