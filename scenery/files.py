"""Small files that others read at any moment: replaced, never rewritten."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Stamp = tuple[int, int, int]
"""What tells a file from the one before it: inode, time of the last change in nanoseconds, bytes."""


@contextmanager
def replaced(path: Path, keep_owner: bool = False) -> Iterator[Path]:
    """Yield where to write what takes a file's place, in one step; it is on disk when this ends.

    The yielded name ends as the file's does, and is another for each call. A link stays one, and a file that is
    replaced keeps its permissions.

    Parameters
    ----------
    keep_owner
        Whether the file must stay its owner's, whoever replaces it.

    Raises
    ------
    OSError
        If it cannot be written, or not be given to its owner. However this ends, the file is the old one or the
        new one, whole.
    """
    path = path.resolve()
    staged = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        if path.exists():
            staged.touch(0o600)  # until it has the permissions of the file, which may be as narrow
        yield staged
        flush(staged)
        if path.exists():
            shutil.copymode(path, staged)
            if keep_owner:
                _copy_owner(path, staged)
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    flush(path.parent)


def replace_text(path: Path, text: str, keep_owner: bool = False) -> None:
    """Give a file another text, in UTF-8 and with its line ends as they are: see :func:`replaced`."""
    with replaced(path, keep_owner) as staged:
        staged.write_text(text, encoding="utf-8", newline="")


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
