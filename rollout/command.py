"""The commands of this stage: ``scenery status``, ``canary``, ``promote``, ``rollback`` and ``prune``."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scenery import contract
from scenery.errors import RolloutError
from scenery.signals import interrupt_on_termination

if TYPE_CHECKING:
    from rollout.rollout import Rollout
    from rollout.watch import Decision, Watch

_PREFIX = "SCENERY_ROLLOUT_"
"""Of the variables that stand for options; of several addresses, with spaces between."""

_PATIENCE_SECONDS = 60.0
"""How long to wait for another command where giving up would leave callers with a bad version."""


class _Number(click.FloatRange):
    """A range that nan is not in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; fails with a usage error as its base does."""
        number = super().convert(value, param, ctx)
        return self.fail(f"{value} is not a number.", param, ctx) if math.isnan(number) else number


def _url(_context: click.Context, _parameter: click.Parameter, proxies: tuple[str, ...]) -> tuple[str, ...]:
    """Let an address stand for its URL."""
    return tuple(proxy if "://" in proxy else f"http://{proxy}" for proxy in proxies)


_FILE = click.Path(dir_okay=False, path_type=Path)


def _places(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where everything is."""
    options = (
        click.option("--config", "config_file", type=_FILE, default="serving.config", show_default=True,
                     help="The configuration that the model servers read."),
        click.option("--models-dir", type=click.Path(file_okay=False, path_type=Path), default="models",
                     show_default=True, envvar=f"{_PREFIX}MODELS_DIR", show_envvar=True, help="The folder of models."),
        click.option("--traffic-file", type=_FILE,
                     help="What the proxies read. [default: traffic.json in the model's folder]"),
        click.option("--model-server", "model_servers", multiple=True, default=(f"127.0.0.1:{contract.GRPC_PORT}",),
                     show_default=True, envvar=f"{_PREFIX}MODEL_SERVERS", show_envvar=True,
                     help="gRPC address of a model server; once for each that reads the config."),
        click.option("--model-name", default=contract.MODEL_NAME, show_default=True, help="The servable's name."),
        click.option("--wait-seconds", type=_Number(min=0), default=60, show_default=True,
                     help="How long the servers may take to follow."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


_PROXIES = click.option(
    "--proxy", "proxies", multiple=True, default=(f"http://127.0.0.1:{contract.PROXY_PORT}",), show_default=True,
    callback=_url, envvar=f"{_PREFIX}PROXIES", show_envvar=True,
    help="URL of a proxy whose figures count; once for each.",
)  # fmt: skip


def _rollout(
    config_file: Path,
    models_dir: Path,
    traffic_file: Path | None,
    model_servers: tuple[str, ...],
    model_name: str,
    wait_seconds: float,
) -> Rollout:
    from rollout.rollout import Places, Rollout

    interrupt_on_termination()  # A step that is interrupted is undone, however that is.
    return Rollout(Places(config_file, models_dir, traffic_file, model_servers, model_name, wait_seconds), click.echo)


@click.command()
@_places
@_PROXIES
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(proxies: tuple[str, ...], as_json: bool, **places: Any) -> None:
    """Show the versions: on disk, in the model servers, their labels and their share of the callers.

    While requests are shadowed, also how often the two versions differ.
    """
    from rollout import status as showing

    told = showing.read_status(_rollout(**places), proxies)
    click.echo(json.dumps(showing.as_json(told)) if as_json else showing.table(told))
    if told.problems:
        raise RolloutError(" ".join(told.problems))


@click.command()
@click.argument("version", type=click.IntRange(min=1))
@click.option("--percent", type=_Number(0, 100), default=10, show_default=True, help="Share of the callers.")
@click.option(
    "--shadow-percent", type=_Number(0, 100), default=0, show_default=True,
    help="Share of the requests that the other version gets too, after the answer; only compared.",
)  # fmt: skip
@click.option("--auto", is_flag=True, help="Watch the proxies' figures, then promote it or take it back.")
@click.option(
    "--watch-seconds", type=_Number(min=0, min_open=True), default=600, show_default=True,
    help="With --auto: for how long.",
)  # fmt: skip
@click.option(
    "--min-photos", type=click.IntRange(min=1), default=100, show_default=True,
    help="With --auto: how many photos of either version a promotion needs.",
)  # fmt: skip
@click.option(
    "--error-margin", type=_Number(0, 1), default=0.01, show_default=True,
    help="With --auto: how much larger its shares of failed and of refused photos may be.",
)  # fmt: skip
@click.option(
    "--p99-ratio", type=_Number(min=1), default=1.5, show_default=True,
    help="With --auto: how many times the stable version's p99 its own may be.",
)  # fmt: skip
@click.option(
    "--score-distance", type=_Number(0, 1), default=0.1, show_default=True,
    help="With --auto: how far the distribution of a label's scores may be from the stable version's.",
)  # fmt: skip
@_PROXIES
@_places
def canary(
    version: int,
    percent: float,
    shadow_percent: float,
    auto: bool,
    watch_seconds: float,
    min_photos: int,
    error_margin: float,
    p99_ratio: float,
    score_distance: float,
    proxies: tuple[str, ...],
    **places: Any,
) -> None:
    """Let VERSION answer a share of the callers, the same ones every time.

    The version is loaded beside the stable one and labelled; only then callers are sent to it.

    With --auto it is watched: promoted if it is as good as the stable version in errors, latency
    and scores, within the limits and what chance explains; taken back if not, with the reason,
    and exit status 1. It is taken back too if the watching is interrupted.
    """
    rollout = _rollout(**places)
    if not auto:
        with rollout.alone():
            rollout.canary(version, percent, shadow_percent)
        return
    from rollout.judgement import Limits
    from rollout.watch import Watch

    if not 0 < percent < 100:
        raise click.UsageError("--auto compares two versions, so --percent must lie between 0 and 100.")
    watch = Watch(proxies, Limits(error_margin, p99_ratio, score_distance, min_photos))
    with rollout.alone():
        rollout.canary(version, percent, shadow_percent)
    try:
        decision = _watched(watch, version, watch_seconds)
    except BaseException:
        click.echo("Interrupted: a canary that nobody watches is taken back.", err=True)
        _take_back(rollout, version)
        raise
    for each in decision.comparisons:
        click.echo(f"{each.name:8}  {'fine' if each.fine else 'BAD':4}  {each.detail}")
    if not decision.promote:
        stable = _take_back(rollout, version)
        raise RolloutError(f"Version {version} is taken back, version {stable} answers all: {decision.why}")
    with rollout.alone(_PATIENCE_SECONDS):
        _require_canary(rollout, version)
        rollout.promote(version)
    click.echo(f"version {version} is promoted: {decision.why}")


def _watched(watch: Watch, version: int, seconds: float) -> Decision:
    with click.progressbar(
        length=round(seconds), label=f"watching version {version}", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        return watch.decide(seconds, lambda passed: bar.update(round(passed)))


def _take_back(rollout: Rollout, version: int) -> int:
    with rollout.alone(_PATIENCE_SECONDS):
        _require_canary(rollout, version)
        return rollout.rollback()


def _require_canary(rollout: Rollout, version: int) -> None:
    if rollout.labels.entry().labels.get(contract.LABEL_CANARY) != version:
        raise RolloutError(f"Version {version} is not the canary any more: somebody changed that. Nothing was done.")


@click.command()
@click.argument("version", type=click.IntRange(min=1), required=False)
@_places
def promote(version: int | None, **places: Any) -> None:
    """Make VERSION, or else the canary, the stable one for all callers.

    The one that was stable stays loaded, so that `scenery rollback` takes a second or two.
    """
    rollout = _rollout(**places)
    with rollout.alone():
        click.echo(f"version {rollout.promote(version)} is stable")


@click.command()
@_places
def rollback(**places: Any) -> None:
    """Take the canary back; without one, make the version stable that was so before."""
    rollout = _rollout(**places)
    with rollout.alone(_PATIENCE_SECONDS):
        click.echo(f"version {rollout.rollback()} is stable")


@click.command()
@click.option("--keep", type=click.IntRange(min=1), default=3, show_default=True, help="How many to keep at least.")
@_places
def prune(keep: int, **places: Any) -> None:
    """Remove old versions from disk, but none that serves, has a label, or was the last good one."""
    from rollout import prune as pruning

    rollout = _rollout(**places)
    with rollout.alone():
        removed = pruning.prune(rollout.places.model_dir, keep, rollout.needed(), rollout.failed())
    click.echo(f"removed: {', '.join(map(str, removed)) or 'none'}")
