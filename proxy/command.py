"""The command of this stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_SHORT = {"listen_host": "--host", "listen_port": "--port"}


class _WithSettings(click.Command):
    """A command with a flag for each setting, made when it is called: the others start without pydantic."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from proxy.settings import Settings

        flags = [_flag(name, field) for name, field in Settings.model_fields.items()]
        return [*flags, *super().get_params(ctx)]


def _flag(name: str, field: Any) -> click.Option:
    """Make the flag of a setting; its value is read as the variable's would be."""
    names = [f"--{name.replace('_', '-')}", *([_SHORT[name]] if name in _SHORT else [])]
    default = field.default if field.default not in (None, ()) else "none"
    default = default.as_posix() if isinstance(default, Path) else default
    description = field.description.rstrip(".")
    return click.Option([*names, name], metavar="VALUE", help=f"{description}. [default: {default}]")


@click.command(cls=_WithSettings)
def proxy(**flags: str | None) -> None:
    """Run the proxy alone, in front of a model server that runs elsewhere.

    Each flag has a variable: --max-photos is SCENERY_MAX_PHOTOS. A flag wins over its variable.
    """
    from proxy.server import run
    from proxy.settings import load_settings

    run(load_settings(**{name: value for name, value in flags.items() if value is not None}))
