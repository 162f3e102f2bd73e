"""The command ``scenery serve``."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scenery import contract

if TYPE_CHECKING:
    from scenery.stack.supervisor import ServerKind, StackOptions

_FOLDER = click.Path(file_okay=False, path_type=Path)
SAMPLE_PHOTO = Path("examples/sample.jpg")


@click.command()
@click.option(
    "--server", type=click.Choice(["embedded", "tensorflow"]), default="embedded", show_default=True,
    help="The model server: the one in this package, or tensorflow_model_server from PATH.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address the proxy listens on.")
@click.option("--port", type=int, default=contract.PROXY_PORT, show_default=True, help="Port of the proxy.")
@click.option("--grpc-port", type=int, default=contract.GRPC_PORT, show_default=True, help="gRPC of the model server.")
@click.option("--rest-port", type=int, default=contract.REST_PORT, show_default=True, help="REST of the model server.")
@click.option(
    "--config", "config_file", type=click.Path(dir_okay=False, path_type=Path), default="serving.config",
    show_default=True, help="Which models to serve; /models in it stands for --models-dir.",
)  # fmt: skip
@click.option("--models-dir", type=_FOLDER, default="models", show_default=True, help="The folder of models.")
@click.option("--run-dir", type=_FOLDER, help="Where the logs go. [default: runs/serve and the port]")
@click.option(
    "--log-to-console", is_flag=True, help="Write the logs to standard error instead, as containers want them."
)
@click.option(
    "--prefer-tflite-model", is_flag=True,
    help="Let LiteRT run the networks of versions that were exported with --precision.",
)  # fmt: skip
def serve(
    server: ServerKind,
    host: str,
    port: int,
    grpc_port: int,
    rest_port: int,
    config_file: Path,
    models_dir: Path,
    run_dir: Path | None,
    log_to_console: bool,
    prefer_tflite_model: bool,
) -> None:
    """Run a model server and the proxy on this machine.

    Waits until both answer, says where, and runs until Ctrl-C or SIGTERM. A version that appears
    in the folder of models is served within a second or two.
    """
    from scenery.stack.supervisor import WATCH_SECONDS, StackOptions, running_stack

    run_dir = run_dir or Path("runs") / "serve" / str(port)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    options = StackOptions(
        server, host, port, grpc_port, rest_port, config_file, models_dir, run_dir, log_to_console, prefer_tflite_model
    )
    place = "follow" if log_to_console else f"are in {run_dir}/"
    click.echo(f"Starting the {server} model server and the proxy; logs {place} …")
    with running_stack(options, stop) as stack:
        if not stop.is_set():
            click.echo(_ready_text(options))
        while not stop.wait(WATCH_SECONDS):
            if problem := stack.look():
                click.echo(f"The edit is not followed, what serves goes on: {problem}", err=True)
        click.echo("Stopping: requests that were accepted are finished.")


def _ready_text(options: StackOptions) -> str:
    """Say where the proxy is, and show a request and what it really answers."""
    from scenery.stack.supervisor import classify

    how_to_stop = "" if options.log_to_console else "   (Ctrl-C stops it)"
    lines = [f"\nScenery is ready: {options.address}{how_to_stop}"]
    if SAMPLE_PHOTO.is_file():
        url = f"{options.address}/v1/classify"
        lines += [
            f"\n  curl -H 'Content-Type: image/jpeg' --data-binary @{SAMPLE_PHOTO} {url}\n",
            json.dumps(classify(options, SAMPLE_PHOTO)),
        ]
    return "\n".join(lines)
