"""Small files that others read at any moment: replaced, never rewritten."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Give a file another text in one step; it is on disk when this returns.

    A link stays one, and a file that is replaced keeps its permissions.

    Raises
    ------
    OSError
        If it cannot be written; the file has its old text, or the new one whole.
    """
    path = path.resolve()
    staged = path.with_name(f".{path.name}.new")
    try:
        with staged.open("w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if path.exists():
            shutil.copymode(path, staged)
        staged.replace(path)
    except OSError:
        staged.unlink(missing_ok=True)
        raise
    flush(path.parent)


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what is another after the file was replaced or rewritten; None if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def flush(path: Path) -> None:
    """Have what is known of a file or folder on disk when this returns; raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
