"""A file of records taken up again: what was answered stays, all else is asked about once more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TextIO

from proxy.client.json_lines import answered_lines
from proxy.client.table import COLUMNS, answered_rows, as_csv
from scenery.errors import ConfigurationError

ENCODING: Final = "utf-8"
NAMES: Final = "surrogateescape"
"""File names that are no UTF-8 are written byte by byte as they are."""


@dataclass(frozen=True)
class Before:
    """What a file has already."""

    answered: Set[str] = frozenset()
    """The photos that were answered, by name."""
    labels: tuple[str, ...] | None = None
    """The labels that have columns, in a table that has begun."""


def take_up(path: Path, format_name: Literal["csv", "jsonl"]) -> Before:
    """Take the errors out of a file, and a last line that was cut off; return what is left.

    The file is replaced in one step: interrupted, it is as it was.

    Raises
    ------
    ConfigurationError
        If it is no file of this format, or cannot be replaced.
    """
    path = path.resolve()
    staged = path.with_name(f".{path.name}.resumed")
    try:
        before = _copy_answered(path, staged, format_name)
        shutil.copymode(path, staged)
        staged.replace(path)
    except (ValueError, OSError) as error:
        staged.unlink(missing_ok=True)
        raise ConfigurationError(
            f"{path} cannot be taken up: it is no {format_name} that scenery classify wrote, or may not be replaced. "
            f"Name another --output. Received: {error}"
        ) from error
    return before


def _copy_answered(path: Path, staged: Path, format_name: Literal["csv", "jsonl"]) -> Before:
    copied = _copied_table if format_name == "csv" else _copied_objects
    with _opened(path, "r") as old, _opened(staged, "w") as new:
        before = copied((line for line in old if line.endswith("\n")), new)
        new.flush()
        os.fsync(new.fileno())
    return before


def _opened(path: Path, mode: Literal["r", "w"]) -> TextIO:
    return path.open(mode, encoding=ENCODING, errors=NAMES, newline="")


def _copied_table(old: Iterator[str], new: TextIO) -> Before:
    header, rows = answered_rows(old)
    names: set[str] = set()
    for row in rows:
        if not names:
            new.write(as_csv(header))
        new.write(as_csv(row))
        names.add(row[0])
    return Before(names, tuple(header[len(COLUMNS) :]) if names else None)


def _copied_objects(old: Iterator[str], new: TextIO) -> Before:
    names = set()
    for name, line in answered_lines(old):
        new.write(line)
        names.add(name)
    return Before(names)
