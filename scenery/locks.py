"""One command at a time on a folder: a lock that the kernel gives back when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenery.errors import SceneryError


@contextmanager
def alone_in(folder: Path, otherwise: SceneryError) -> Iterator[None]:
    """Hold ``folder`` against other holders of this lock; raises ``otherwise`` if one holds it already.

    The lock is on the folder itself (flock(2)), so no file is left behind; who only reads is not held up.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise otherwise from error
        yield
    finally:
        os.close(descriptor)
