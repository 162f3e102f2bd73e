"""Where records go: standard output, or a file that begins with its first line and is never lost by mistake."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Literal, TextIO

from proxy.client.json_lines import JsonLines
from proxy.client.resume import ENCODING, NAMES, Before, take_up
from proxy.client.table import Table
from proxy.client.text import Text
from proxy.client.view import Format, View, Write
from scenery.errors import ConfigurationError

FormatName = Literal["text", "csv", "jsonl"]

IfExists = Literal["refuse", "resume", "force"]


@dataclass(frozen=True)
class Output:
    """Records are added to ``format``; photos that were ``answered`` before need not be asked about."""

    format: Format
    answered: Set[str] = frozenset()


@contextmanager
def open_output(path: Path | None, format_name: FormatName, view: View, if_exists: IfExists) -> Iterator[Output]:
    """Open the output; each line is out when it was written.

    Parameters
    ----------
    path
        None for standard output.
    if_exists
        What is done with a file that is there: refused, taken up where it ends, or overwritten.

    Raises
    ------
    ConfigurationError
        If the file exists and may not be touched, is no such file, or cannot be written.
    """
    before = Before()
    if path is not None and path.is_file():
        _check_may_be_touched(path, if_exists)
        before = take_up(path, format_name) if if_exists == "resume" and format_name != "text" else before
    with _lines(path, "a" if if_exists == "resume" else "w") as write:
        form = _format(format_name, write, view, before)
        try:
            yield Output(form, before.answered)
        finally:
            form.end()


def _check_may_be_touched(path: Path, if_exists: IfExists) -> None:
    if if_exists == "refuse":
        raise ConfigurationError(
            f"{path} exists. Go on with it by --resume, overwrite it with --force, or name another --output."
        )


def _format(name: FormatName, write: Write, view: View, before: Before) -> Format:
    if name == "csv":
        return Table(write, view, before.labels)
    return JsonLines(write, view) if name == "jsonl" else Text(write, view)


@contextmanager
def _lines(path: Path | None, mode: Literal["a", "w"]) -> Iterator[Write]:
    """Yield what writes whole lines at once; a file is opened with the first."""
    opened: list[TextIO] = []

    def write(text: str) -> None:
        try:
            if not opened:
                opened.append(_stdout() if path is None else _open(path, mode))
            opened[0].write(text)
            opened[0].flush()
        except BrokenPipeError:
            _pacify(opened[0])
            raise
        except OSError as error:
            raise ConfigurationError(
                f"{path or 'Standard output'} cannot be written: {error.strerror}. "
                "Make room or its folder, or name another --output."
            ) from error

    try:
        yield write
    finally:
        if opened and path is not None:
            with suppress(OSError):
                opened[0].close()


def _stdout() -> TextIO:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding=ENCODING, errors=NAMES)
    return sys.stdout


def _open(path: Path, mode: Literal["a", "w"]) -> TextIO:
    return path.open(mode, encoding=ENCODING, errors=NAMES, newline="")


def _pacify(stream: TextIO) -> None:
    """Let what is left for a reader that has gone be written nowhere, or Python would complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
