"""The one command, ``scenery``: its subcommands are found, not imported.

A stage offers a subcommand through the entry-point group ``scenery.commands``, as Flask finds
``flask.commands``. So the kernel imports no stage, an installation without some stage's
packages still has the others, and ``--help`` stays fast: modules of commands import nothing heavy.
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import NoReturn

import click

from scenery.errors import SceneryError

GROUP = "scenery.commands"

# \b keeps click from joining the lines that follow.
_HELP = """From labelled photos to a served image classifier.

Bring photos, label them, train a model, publish it as a numbered version, serve it, roll out the next one:

\b
  scenery collect folder ~/Pictures
  scenery annotate photos/
  scenery train
  scenery publish runs/…
  scenery serve
  scenery canary 2 --percent 10
"""


class _EntryPointGroup(click.Group):
    """A group whose subcommands are the entry points of :data:`GROUP`."""

    def _entry_points(self) -> dict[str, EntryPoint]:
        return {entry_point.name: entry_point for entry_point in entry_points(group=GROUP)}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names of the subcommands, without importing one."""
        return sorted(self._entry_points())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """Import one subcommand."""
        entry_point = self._entry_points().get(cmd_name)
        if entry_point is None:
            return None
        command: click.Command = entry_point.load()
        return command


@click.command(cls=_EntryPointGroup, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scenery")
def scenery() -> None:
    """Run one of the stages' commands."""


def main() -> None:
    """Run the command line; an expected error is one line on standard error and status 1."""
    try:
        scenery()
    except SceneryError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if find_spec((error.name or __name__).split(".")[0]) is not None:
            raise
        _fail(
            f"This command needs the package {error.name}, which is not installed. Each stage has an extra: "
            "pip install -e '.[training]' (or export, serving, proxy, bulk)."
        )


def _fail(message: str) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    sys.exit(1)
