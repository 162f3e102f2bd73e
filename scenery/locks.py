"""One command at a time: a lock that the kernel gives back when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenery.errors import ConfigurationError, SceneryError

_LOOK_SECONDS = 0.1


@contextmanager
def alone(lock_file: Path, otherwise: SceneryError, patience_seconds: float = 0) -> Iterator[None]:
    """Hold a file against other holders of this lock (flock(2)); who only reads is not held up.

    The file is made if it is missing, and left: one that is removed could be held twice.

    Raises
    ------
    SceneryError
        ``otherwise``, if another process holds it for longer than ``patience_seconds``.
    ConfigurationError
        If the file cannot be made.
    """
    try:
        stream = lock_file.open("a")
    except OSError as error:
        raise ConfigurationError(
            f"{lock_file.parent} cannot be written to: {error.strerror}. Make it, or correct its permissions."
        ) from error
    with stream:
        deadline = time.monotonic() + patience_seconds
        while not _take(stream.fileno()):
            if time.monotonic() > deadline:
                raise otherwise
            time.sleep(_LOOK_SECONDS)
        yield


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
