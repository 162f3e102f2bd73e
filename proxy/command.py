"""The command of this stage."""

from __future__ import annotations

import click


@click.command()
@click.option("--host", "listen_host", help="Address to listen on. [default: SCENERY_LISTEN_HOST, or 127.0.0.1]")
@click.option("--port", "listen_port", type=int, help="TCP port. [default: SCENERY_LISTEN_PORT, or 8080]")
@click.option("--model-server", help="gRPC address. [default: SCENERY_MODEL_SERVER, or 127.0.0.1:8500]")
@click.option(
    "--traffic-file", help="The canary's share. [default: SCENERY_TRAFFIC_FILE, or models/scenery/traffic.json]"
)
def proxy(**flags: str | int | None) -> None:
    """Run the proxy alone, in front of a model server that runs elsewhere.

    A flag wins over its environment variable. README.md lists every setting.
    """
    from proxy.server import run
    from proxy.settings import load_settings

    given = {name: value for name, value in flags.items() if value is not None}
    run(load_settings(**given))
