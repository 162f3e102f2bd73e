"""Small files that others read at any moment: replaced, never rewritten."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

Stamp = tuple[int, int, int]
"""What tells a file from the one before it: inode, time of the last change in nanoseconds, bytes."""


def replace_text(path: Path, text: str, keep_owner: bool = False) -> None:
    """Give a file another text in one step; it is on disk when this returns.

    A link stays one, and a file that is replaced keeps its permissions.

    Parameters
    ----------
    keep_owner
        Whether the file must stay its owner's, whoever replaces it.

    Raises
    ------
    OSError
        If it cannot be written, or not be given to its owner; the file has its old text, or the new one whole.
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
            if keep_owner:
                _copy_owner(path, staged)
        staged.replace(path)
    except OSError:
        staged.unlink(missing_ok=True)
        raise
    flush(path.parent)


def _copy_owner(path: Path, to: Path) -> None:
    owned = path.stat()
    if to.stat().st_uid != owned.st_uid:
        os.chown(to, owned.st_uid, owned.st_gid)


def stamp(path: Path) -> Stamp | None:
    """Return what is another after the file was replaced or rewritten; None if there is none.

    Raises
    ------
    OSError
        If nobody can tell, as in a folder that may not be entered.
    """
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def flush(path: Path) -> None:
    """Have what is known of a file or folder on disk when this returns; raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
