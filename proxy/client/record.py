"""What became of a photo: an answer, or why there is none. The same, whichever way it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from proxy.deadline import Deadline
from proxy.labels import Labelling
from proxy.problems import document
from scenery.errors import SceneryError


@dataclass(frozen=True)
class Answer:
    """The scores of a photo, all of them, and who gave them."""

    model: str
    version: int
    labelling: Labelling


@dataclass
class NotAnsweredError(Exception):
    """One photo is not answered; the others go on."""

    problem: Mapping[str, Any]
    """A problem document (RFC 9457); ``status`` is None if no server was asked."""
    retry_after_seconds: float | None = None
    """When to ask again; None if the answer would be the same."""

    @property
    def title(self) -> str:
        """What kind of problem it is, in a word or two."""
        return str(self.problem.get("title", "Not answered"))

    @property
    def detail(self) -> str:
        """What happened and what to do."""
        return str(self.problem.get("detail", "The server says no more."))


class UnreachableError(SceneryError):
    """Nobody listens where the photos go; this ends the run unless it passes."""


Outcome = Answer | NotAnsweredError
Ask = Callable[[bytes, Deadline], Answer]
"""Takes an encoded photo. Raises NotAnsweredError and UnreachableError. Threads share it."""


@dataclass(frozen=True)
class Record:
    """A photo, by its name as it was given or found, and its outcome."""

    file: str
    outcome: Outcome


def not_answered(
    name: str, status: HTTPStatus | None, detail: str, retry_after_seconds: float | None = None
) -> NotAnsweredError:
    """Make the error that the client itself tells."""
    return NotAnsweredError(document(name, status, detail), retry_after_seconds)
