"""What scores photos: the port that a version in this process and a model server both fill.

A photo without an answer is told apart from a machine that cannot answer now, which is worth another attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from bulk.part import Floats

PHOTO_STATUSES: Final = frozenset({2, 3, 13})
"""UNKNOWN, INVALID_ARGUMENT and INTERNAL, as gRPC and TensorFlow number them: with these a photo may be at fault, with
any other status it cannot be."""


@dataclass(frozen=True)
class Identity:
    """Which model gives the scores; an output holds those of one."""

    version: int
    digest: str
    """SHA-256, in hex, of the version's files, or of what a served version says of itself."""


class RefusedError(Exception):
    """One photo has no scores; the others go on."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class UnavailableError(Exception):
    """Nobody can answer at the moment; the message says what to do if that lasts."""


class Scorer(Protocol):
    """A model that answers. Threads share it."""

    version: int
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]

    def score(self, photo: bytes) -> Floats:
        """Return the scores of an encoded photo, float32 [labels].

        Raises
        ------
        RefusedError, UnavailableError
            As they say.
        SceneryError
            If it will not answer any photo.
        """


class Source(Protocol):
    """Where a model is had, told to every worker; it must pickle."""

    def identity(self) -> Identity:
        """Return which model it is; raises ``SceneryError`` if there is none to be had."""

    def open(self) -> Scorer:
        """Return the model, ready to answer; raises ``SceneryError`` if it cannot be made ready."""
