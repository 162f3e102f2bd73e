"""How long a request may still take, whatever it is made of."""

from __future__ import annotations

import time
from dataclasses import dataclass

from proxy.problems import problem

HEADER = "X-Request-Timeout"


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline that lies so many seconds ahead."""
        return cls(time.monotonic() + seconds)

    def seconds_left(self) -> float:
        """Return the seconds until it passes, 0 if it has."""
        return max(0.0, self.at - time.monotonic())


def deadline_of(asked: str | None, longest_seconds: float) -> Deadline:
    """Return the deadline of a request that asks for ``asked`` seconds, in :data:`HEADER`, or for nothing.

    Raises
    ------
    ProblemError
        If ``asked`` is no positive number.
    """
    if asked is None:
        return Deadline.after(longest_seconds)
    try:
        seconds = float(asked)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise problem("bad-parameter", f"{HEADER} must be a number of seconds above 0. Received: {asked!r}")
    return Deadline.after(min(seconds, longest_seconds))
