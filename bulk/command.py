"""The command of this stage: ``scenery score``."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from scenery import contract
from scenery.signals import interrupt_on_termination

if TYPE_CHECKING:
    from bulk.scorer import Source

_DIRECT = "DirectRunner"
_SERVER_JOBS = 8
_INTERRUPTED_STATUS = 130

# \b keeps click from joining the lines that follow.
_HELP = """Score stored photos, however many, into a folder of Parquet files.

\b
  scenery score photos/ --output scores.parquet
  scenery score 'photos/**/*.jpg' 'more/*.png' --output scores.parquet
  scenery score photos/ --output scores.parquet --server 127.0.0.1:8500
  scenery score 'gs://photos/**/*.jpg' --output gs://scores/2026.parquet \\
    --runner DataflowRunner --server models:8500 -- --project=mine --region=europe-west1

A folder stands for its photos and those of the folders inside: jpg, jpeg, png, webp, bmp, gif,
hidden ones left out. A pattern goes in quotes; ** matches folders inside one another. What follows
-- are options of Apache Beam and of its runner.

Photos that have scores in the output are left out, so the same command goes on after a crash. A photo
that cannot be scored becomes a line in scores.parquet.failed/, with the reason; one that the model refused
is not tried again but with --retry-failed. If a server or a file system fails for longer than --patience, the
run ends and keeps what is finished.

Columns: photo (an absolute path, or an address), version, labels (a list, the surest first), top, and
score_LABEL for each label. The exit status is 0 if every photo has scores, 1 if some have none or the run
could not go on, 2 for a wrong option, 130 if it was interrupted.
"""


def _runner(_context: click.Context, _parameter: click.Parameter, runner: str) -> str:
    """Let the local runner go by Beam's other names for it."""
    return _DIRECT if runner.lower() in ("direct", _DIRECT.lower()) else runner


def _output(_context: click.Context, _parameter: click.Parameter, output: str) -> str:
    """Refuse what names no folder of its own: scores and dead letters would land where nobody means them to."""
    address, _, path = output.rpartition("://")
    parents, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", "..") or (address and not parents):
        raise click.BadParameter(f"{output!r} names no folder of its own. Name one, such as scores.parquet.")
    return output


class _WithRunnerOptions(click.Command):
    """A command that leaves what follows ``--`` to Beam."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Part the arguments, and read the command's own."""
        place = args.index("--") if "--" in args else len(args)
        rest = super().parse_args(ctx, args[:place])
        ctx.params["runner_arguments"] = args[place + 1 :]
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the usage line's pieces."""
        return [*super().collect_usage_pieces(ctx), "[-- BEAM OPTIONS]"]


@click.command(cls=_WithRunnerOptions, help=_HELP)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@click.option(
    "--output", required=True, metavar="FOLDER", callback=_output,
    help="Folder of Parquet files, here or at an address.",
)  # fmt: skip
@click.option(
    "--model", "model", type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the version that scores, in process. [default: the newest in models/scenery]",
)  # fmt: skip
@click.option("--server", metavar="HOST:PORT", help="Ask a model server over gRPC instead; needs no TensorFlow.")
@click.option(
    "--model-name", default=contract.MODEL_NAME, show_default=True, help="With --server: the servable's name."
)
@click.option("--version", type=click.IntRange(min=0), help="With --server: number of the version that scores.")
@click.option("--label", metavar="NAME", help="With --server: its label, such as stable. [default: the latest]")
@click.option(
    "--runner", default=_DIRECT, show_default=True, callback=_runner,
    help="Beam's runner: DirectRunner (this machine), PortableRunner, FlinkRunner, SparkRunner, DataflowRunner.",
)  # fmt: skip
@click.option(
    "--part-photos", type=click.IntRange(min=1), default=500, show_default=True,
    help="Photos in a file; one worker scores them, and another one all of them again if it dies.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(1, 256),
    help="Photos at a time in a worker process. [default: DirectRunner one a core, others 1; with --server 8]",
)  # fmt: skip
@click.option(
    "--patience", "patience_seconds", type=click.FloatRange(0, 3600), default=60, show_default=True,
    help="Seconds that a server or file system may fail for before the run ends.",
)  # fmt: skip
@click.option("--retry-failed", is_flag=True, help="Try photos that the model refused earlier once more.")
@click.option("--replace", is_flag=True, help="Remove the output's scores first, another model's too.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
@click.option("--verbose", is_flag=True, help="Show what Beam logs, instead of the progress.")
def score(server: str | None, version: int | None, label: str | None, model: Path | None, **options: Any) -> None:
    """Score stored photos."""
    if version is not None and label is not None:
        raise click.UsageError("--version and --label name a version each; give one of them.")
    if server is None and (version is not None or label is not None):
        raise click.UsageError("--version and --label are for --server; name a version's folder with --model.")
    if server is not None and model is not None:
        raise click.UsageError("--model scores in process and --server elsewhere; give one of them.")
    interrupt_on_termination()
    try:
        _score(server, version, label, model, **options)
    except KeyboardInterrupt:
        _stop(_how_it_goes_on(options["runner"], options["replace"]))


def _score(
    server: str | None,
    version: int | None,
    label: str | None,
    model: Path | None,
    model_name: str,
    photos: tuple[str, ...],
    output: str,
    runner: str,
    runner_arguments: list[str],
    jobs: int | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **others: Any,
) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # or it greets, in many lines, whatever it finds
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL)  # whatever ends a run is raised too
    from bulk.output import output_at
    from bulk.run import Run
    from bulk.runner import cores_for, read_options

    options = read_options(runner, runner_arguments, verbose, others["patience_seconds"])
    place = output_at(output)
    tally = Run(
        source=_source(server, model_name, version, label, model),
        output=place,
        runner=runner,
        options=options,
        jobs=jobs or (_SERVER_JOBS if server else cores_for(runner, options)),
        shows_progress=sys.stderr.isatty() and not quiet and not verbose,
        **others,
    ).score(photos)
    if as_json:
        click.echo(json.dumps(tally.as_dict(place)))
    elif not quiet:
        click.echo(tally.summary(place), err=True)
    if not tally.all_scored:
        sys.exit(1)


def _source(server: str | None, model_name: str, version: int | None, label: str | None, model: Path | None) -> Source:
    if server is not None:
        from bulk.served_model import find_served

        return find_served(server, model_name, version, label)
    from bulk.stored_model import StoredModel, newest_version

    return StoredModel(Path(os.path.abspath(model or newest_version(Path("models", model_name)))))


def _how_it_goes_on(runner: str, replace: bool) -> str:
    if runner != _DIRECT:
        return f"Not watched any longer. The job goes on at its {runner}; cancel it there if it is not to."
    command = "the same command without --replace" if replace else "the same command"
    return f"Stopped. What is finished stays; {command} goes on with the rest."


def _stop(told: str) -> NoReturn:
    """End at once, whatever threads are in the middle of: nothing that is unfinished counts."""
    click.echo(f"\n{told}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_INTERRUPTED_STATUS)
