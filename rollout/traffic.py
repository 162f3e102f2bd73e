"""The file by which proxies split the callers; they read it again when it changes."""

from __future__ import annotations

from pathlib import Path

from scenery.errors import RolloutError
from scenery.files import replace_text
from scenery.traffic import Split, parse_split, text_of


def read_split(path: Path) -> Split | None:
    """Return the split, or None if there is none; raises :class:`RolloutError` if the file cannot be read."""
    try:
        return parse_split(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RolloutError(f"{path} cannot be read: {error} Write it again: scenery canary N, or promote N.") from error


def write_split(path: Path, split: Split) -> None:
    """Split the callers so, in one step; raises :class:`RolloutError` if that fails."""
    try:
        replace_text(path, text_of(split))
    except OSError as error:
        raise RolloutError(
            f"{path} cannot be written: {error.strerror}. The split is as it was; make room and try again."
        ) from error
