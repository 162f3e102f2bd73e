"""The command ``scenery api-key``: makes, revokes and lists the keys of callers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

_PATIENCE_SECONDS = 60.0
"""How long to wait for another command that changes the file."""


@click.command("api-key")
@click.argument("name", required=False)
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SCENERY_API_KEYS_FILE",
    show_envvar=True,
    required=True,
    help="The file of keys; made if it is missing.",
)
@click.option("--revoke", is_flag=True, help="Take the key of that name out.")
@click.option("--list", "listed", is_flag=True, help="Show the names that there are.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def api_key(name: str | None, path: Path, revoke: bool, listed: bool, as_json: bool) -> None:
    """Make an API key for NAME and print it, this once: the file keeps its hash.

    Proxies that follow the file know the key, or no longer know it, within a second. Only the key goes to
    standard output: KEY=$(scenery api-key anna)
    """
    if (name is None) is not listed or (revoke and listed):
        raise click.UsageError("Give a NAME, a NAME with --revoke, or --list alone.")
    if name is None:
        _list(path, as_json)
    elif revoke:
        _revoke(path, name, as_json)
    else:
        _make(path, name, as_json)


def _list(path: Path, as_json: bool) -> None:
    from proxy.keys import read_keys

    names = [key.name for key in read_keys(path)]
    _print({"names": names}, "\n".join(names), as_json)


def _make(path: Path, name: str, as_json: bool) -> None:
    from proxy.keys import new_key, read_keys
    from scenery.errors import ConfigurationError

    key, known = new_key(name)
    with _alone(path):
        if not path.exists():
            path.touch(mode=0o600)
        if name in {each.name for each in read_keys(path)}:
            raise ConfigurationError(
                f"{path} has a key of the name {name} already. Take another name, or revoke that key first: "
                f"scenery api-key {name} --revoke"
            )
        lines = path.read_text(encoding="utf-8").splitlines()
        _replace(path, [*lines, known.line()])
    click.echo(f"The key of {name}. It is shown this once: hand it over, and keep it out of files and logs.", err=True)
    _print({"name": name, "key": key}, key, as_json)


def _revoke(path: Path, name: str, as_json: bool) -> None:
    from proxy.keys import parse_line, read_keys
    from scenery.errors import ConfigurationError

    with _alone(path):
        if name not in {key.name for key in read_keys(path)}:
            raise ConfigurationError(f"{path} has no key of that name. See scenery api-key --list. Received: {name!r}")
        lines = path.read_text(encoding="utf-8").splitlines()
        _replace(path, [line for line in lines if (key := parse_line(line)) is None or key.name != name])
    click.echo(f"The key of {name} is revoked; proxies that follow {path} refuse it within a second.", err=True)
    _print({"name": name, "revoked": True}, "", as_json)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the file against other commands, so that two at once lose nothing."""
    from scenery.errors import ConfigurationError
    from scenery.locks import alone

    path = path.resolve()
    busy = ConfigurationError(f"Another command is changing {path}. Wait until it has ended.")
    with alone(path.with_name(f".{path.name}.lock"), busy, _PATIENCE_SECONDS):
        yield


def _replace(path: Path, lines: Iterable[str]) -> None:
    """Write the file in one step; whoever owned it, such as the proxy, still does."""
    from scenery.errors import ConfigurationError
    from scenery.files import replace_text

    try:
        replace_text(path, "".join(f"{line}\n" for line in lines), keep_owner=True)
    except OSError as error:
        raise ConfigurationError(
            f"{path} stays as it was, a new one cannot be put in its place: {error.strerror}. "
            "Run this as the owner of the file, and see that its folder can be written to."
        ) from error


def _print(fields: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json or text:
        click.echo(json.dumps(fields) if as_json else text)
