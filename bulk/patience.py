"""Another attempt, later and later, while a machine cannot do what it is asked."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from bulk.scorer import UnavailableError
from scenery.errors import ScoringError

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0

_Result = TypeVar("_Result")


def patiently(attempt: Callable[[], _Result], patience_seconds: float) -> _Result:
    """Return what an attempt returns, repeated while it raises :class:`UnavailableError`.

    Raises
    ------
    ScoringError
        If that lasts for longer than ``patience_seconds``.
    """
    deadline = time.monotonic() + patience_seconds
    wait_seconds = _FIRST_WAIT_SECONDS
    while True:
        try:
            return attempt()
        except UnavailableError as error:
            # Not all at once: there may be many who wait.
            wait_seconds = min(wait_seconds * 2, _LONGEST_WAIT_SECONDS) * random.uniform(0.75, 1)
            if time.monotonic() + wait_seconds > deadline:
                raise ScoringError(f"{error} It was tried for {patience_seconds:g} s (--patience).") from error
            time.sleep(wait_seconds)
