"""Write docs/cli.md from the program's own help.

python scripts/cli_reference.py            write the file
python scripts/cli_reference.py --check    exit 1 if it is not what would be written
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner

from scenery.cli import scenery
from serving.flags import PROGRAM, usage

TARGET = Path(__file__).parent.parent / "docs" / "cli.md"
HEAD = "# Every command\n\nWritten by `python scripts/cli_reference.py`; a test compares it with the program.\n"


def reference() -> str:
    """Return the help of the program and of each command, as Markdown."""
    return "\n".join([HEAD, *_sections(scenery), _model_server()])


def _sections(command: click.Command, *path: str) -> Iterator[str]:
    """Give the help of a command, and of those below it."""
    yield _section(*path)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _sections(below, *path, name)


def _section(*command: str) -> str:
    shown = CliRunner().invoke(scenery, [*command, "--help"], prog_name="scenery", terminal_width=100)
    return f"## {' '.join(('scenery', *command))}\n\n```\n{shown.output}```\n"


def _model_server() -> str:
    """Return the model server's usage; three defaults depend on the machine."""
    text = re.sub(r"(num_threads|grpc_max_threads)=\d+", r"\1=4*cores", usage())
    text = re.sub(r"(num_tflite_pools)=\d+", r"\1=cores", text)
    return f"## {PROGRAM}\n\n```\n{text}\n```\n"


def main() -> int:
    """Write or check the file; returns the exit status."""
    text = reference()
    if "--check" not in sys.argv:
        TARGET.write_text(text)
        return 0
    if TARGET.read_text() == text:
        return 0
    print("docs/cli.md is not what the program says. Run: python scripts/cli_reference.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
