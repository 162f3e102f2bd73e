"""The command of the client: ``scenery classify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

# \b keeps click from joining the lines that follow.
_HELP = """Label photos: files, folders, patterns in quotes, or - for standard input.

\b
  scenery classify beach.jpg
  scenery classify shoot/ --json > shoot.jsonl
  scenery classify 'shoot/**/*.jpg' --output shoot.csv
  scenery classify 'shoot/**/*.jpg' --output shoot.csv --resume
  curl -s https://example.org/a.jpg | scenery classify -
  scenery classify shoot/ --grpc 127.0.0.1:8500

A folder stands for its photos and those of the folders inside: jpg, jpeg, png, webp, bmp, gif,
hidden ones left out. A pattern stands for any number of files; in quotes, since a shell takes only
so many. ** matches folders inside one another.

Answers are written in the order of the photos, each as soon as it is there. A photo that cannot be
answered has its error, the others go on, and the exit status is 1. While the server is busy, a photo
is sent again for as long as --timeout allows.

A table's columns are file, version, labels (with | between them), top, error, and a label's score
each. With --resume, photos that have an error in the file are asked about once more.

Without --version and --label the proxy chooses the version; with --grpc the latest answers. The
proxy's API key is read from SCENERY_API_KEY or --api-key-file. For a model server that speaks TLS,
SCENERY_MODEL_SERVER_TLS and its neighbours are as they are for the proxy.
"""

_FILE = click.Path(dir_okay=False, path_type=Path)
_FORMATS = ("text", "csv", "jsonl")


def _url(_context: click.Context, _parameter: click.Parameter, proxy: str) -> str:
    """Let an address stand for its URL."""
    return proxy if "://" in proxy else f"http://{proxy}"


@click.command(help=_HELP)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@click.option(
    "--proxy", "proxy_url", envvar="SCENERY_PROXY", default="http://127.0.0.1:8080", show_default=True,
    show_envvar=True, callback=_url, help="URL of the proxy.",
)  # fmt: skip
@click.option("--grpc", "address", metavar="HOST:PORT", help="Ask TensorFlow Serving itself, not the proxy.")
@click.option("--model", "model_name", metavar="NAME", help="With --grpc: the servable's name. [default: scenery]")
@click.option("--version", type=click.IntRange(min=0), help="Number of the version that is to answer.")
@click.option("--label", metavar="NAME", help="Label of the version that is to answer, such as stable.")
@click.option(
    "--threshold", type=click.FloatRange(0, 1),
    help="Give the labels whose score reaches this, instead of each label's own threshold.",
)  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), help="Tell the so many highest scores only.")
@click.option("--jobs", type=click.IntRange(1, 256), default=8, show_default=True, help="Photos at a time.")
@click.option(
    "--timeout", "timeout_seconds", type=click.FloatRange(0, 3600, min_open=True), default=30, show_default=True,
    help="Longest wait for a photo in seconds, with the times it is sent again because the server is busy.",
)  # fmt: skip
@click.option(
    "--format", "format_name", type=click.Choice(_FORMATS),
    help="Lines to read, a table, or a JSON object a line. [default: by --output's suffix, or text]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
@click.option("--output", type=_FILE, help="Write to this file, which must not exist. [default: standard output]")
@click.option("--resume", is_flag=True, help="Go on with the file: skip what is answered in it. csv and jsonl.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.option(
    "--api-key-file", type=_FILE,
    help="The proxy's API key, in a file. [default: SCENERY_API_KEY, the key itself]",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
def classify(**options: Any) -> None:
    """Label photos."""
    settled = _settled(**options)
    from proxy.client.run import Run

    photos = settled.pop("photos")
    if not Run(**settled).classify(photos):
        sys.exit(1)


def _settled(format_name: str | None, as_json: bool, resume: bool, force: bool, **others: Any) -> dict[str, Any]:
    """Return the options as a run takes them; raises click.UsageError where they contradict one another."""
    suffix = others["output"].suffix.lower().lstrip(".") if others["output"] else ""
    chosen = format_name or ("jsonl" if as_json else suffix if suffix in _FORMATS else "text")
    is_grpc = others["address"] is not None
    contradictions = {
        "--json and --format name a format each; give one of them.": as_json and chosen != "jsonl",
        "--version and --label name a version each; give one of them.":
            others["version"] is not None and others["label"] is not None,
        "--model needs --grpc; a proxy asks the model of its own settings.":
            others["model_name"] is not None and not is_grpc,
        "--grpc asks no proxy; leave --proxy out.": is_grpc and _is_on_command_line("proxy_url"),
        "--resume goes on with a file and --force overwrites it; give one of them.": resume and force,
        "--resume and --force are for a file; name it with --output.": (resume or force) and not others["output"],
        "--resume reads from csv or jsonl what is answered; add --format.": resume and chosen == "text",
    }  # fmt: skip
    for contradiction, is_there in contradictions.items():
        if is_there:
            raise click.UsageError(contradiction)
    return others | {"format_name": chosen, "if_exists": "resume" if resume else "force" if force else "refuse"}


def _is_on_command_line(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
