"""A photo's labels: which version is asked, who answers in its place, and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from proxy.deadline import Deadline
from proxy.figures import Figures
from proxy.labels import Labelling
from proxy.model_server import ModelServer, Scored, Target, version_unknown
from proxy.problems import MODEL_NOT_SERVED, VERSION_UNKNOWN, ProblemError
from scenery import contract

_INSTEAD: dict[str | None, tuple[str | None, ...]] = {
    contract.LABEL_CANARY: (contract.LABEL_STABLE, None),
    contract.LABEL_STABLE: (None,),
    None: (None,),
}
"""The labels to ask where one is not served: a request is worth more than the split. None is the latest version."""


Answered = tuple[Scored, Labelling]
_Said = TypeVar("_Said")


@dataclass(frozen=True)
class Asked:
    """The version that a request is for."""

    target: Target
    is_chosen: bool
    """Whether the caller named it, so that no other may answer."""

    def targets(self) -> Iterator[Target]:
        """Return what is asked one after the other, until one is served."""
        yield self.target
        if not self.is_chosen:
            # A version may be unloaded between its scores and its first description, and a label may be gone.
            yield from (Target(label) for label in _INSTEAD[self.target.label])


def first_served(asked: Asked, ask: Callable[[Target], _Said]) -> _Said:
    """Return what the first version that is served says.

    Raises
    ------
    ProblemError
        If none is served, or one that is fails.
    """
    first, *others = asked.targets()
    for target in others:
        try:
            return ask(first)
        except ProblemError as error:
            if error.name != MODEL_NOT_SERVED:
                raise
        first = target
    try:
        return ask(first)
    except ProblemError as error:
        if asked.is_chosen and error.name == MODEL_NOT_SERVED:
            raise version_unknown(error) from error
        raise


class Scoring:
    """Asks a model server and counts how it went. Threads share it."""

    def __init__(self, server: ModelServer, figures: Figures) -> None:
        self._server = server
        self._figures = figures

    def label(self, photo: bytes, asked: Asked, deadline: Deadline) -> Answered:
        """Score a photo and name its scores.

        Raises
        ------
        ProblemError
            If the photo is refused, or nobody could answer.
        """
        return first_served(asked, lambda target: self._counted(photo, target, deadline, asked.is_chosen))

    def probe(self, photo: bytes, target: Target, deadline: Deadline) -> Answered:
        """Label a photo that nobody sent, as :meth:`label` would; counts nothing.

        Raises
        ------
        ProblemError
            If nobody could answer; always as 503.
        """
        try:
            return first_served(Asked(target, False), lambda each: self._ask(photo, each, deadline))
        except ProblemError as error:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, error.name, error.detail) from error

    def _counted(self, photo: bytes, target: Target, deadline: Deadline, is_chosen: bool) -> Answered:
        version: int | None = None
        try:
            scored = self._server.score(photo, target, deadline)
            version = scored.version
            labelling = self._server.labelling(scored, deadline)
        except ProblemError as error:
            is_unknown = is_chosen and error.name == MODEL_NOT_SERVED
            self._figures.failed(target.label, version, VERSION_UNKNOWN if is_unknown else error.name)
            raise
        self._figures.answered(target.label, scored, labelling)
        return scored, labelling

    def _ask(self, photo: bytes, target: Target, deadline: Deadline) -> Answered:
        scored = self._server.score(photo, target, deadline)
        return scored, self._server.labelling(scored, deadline)
