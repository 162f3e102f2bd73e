"""What versions say of themselves, remembered, so that many who look are one call of the model server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from proxy.about import About
from proxy.admission import Admission
from proxy.deadline import Deadline
from proxy.model_server import ModelServer, Target
from proxy.problems import DEADLINE_EXCEEDED, ProblemError, problem
from proxy.readiness import PROBE_PHOTO
from proxy.scoring import Asked, first_served

REMEMBERED_SECONDS: Final = 5.0
"""A version never changes, but somebody may put another model under its number, or another number under a label."""

FAILURE_REMEMBERED_SECONDS: Final = 1.0
"""A version that is not served now may be in a moment."""

_Told = About | ProblemError


class Abouts:
    """Asks versions about themselves. Threads share it; those that ask together wait for one answer."""

    def __init__(self, server: ModelServer, admission: Admission) -> None:
        self._server = server
        self._admission = admission
        self._asking = threading.Lock()
        self._told: dict[Asked, tuple[float, _Told]] = {}

    def get(self, asked: Asked, deadline: Deadline) -> About:
        """Return what the first version that is served says; what is remembered costs no place among the photos.

        Raises
        ------
        ProblemError
            If none is served, or it cannot be asked, or says what cannot be read, or there are requests enough.
        """
        told = self._remembered(asked)
        if told is None:
            with self._admission.admitted(deadline), self._turn(deadline):
                told = self._remembered(asked) or self._learn(asked, deadline)
        if isinstance(told, ProblemError):
            raise ProblemError(told.status, told.name, told.detail, told.headers)
        return told

    def _remembered(self, asked: Asked) -> _Told | None:
        until, told = self._told.get(asked, (0.0, None))
        return told if time.monotonic() < until else None

    @contextmanager
    def _turn(self, deadline: Deadline) -> Iterator[None]:
        if not self._asking.acquire(timeout=deadline.seconds_left()):
            raise problem(DEADLINE_EXCEEDED, "Others are asking the model server too. Try again in a moment.")
        try:
            yield
        finally:
            self._asking.release()

    def _learn(self, asked: Asked, deadline: Deadline) -> _Told:
        told: _Told
        try:
            told = first_served(asked, lambda target: self._ask(target, deadline))
        except ProblemError as error:
            if error.name == DEADLINE_EXCEEDED:  # which is this caller's own
                raise
            told = error
        self._remember(asked, told)
        return told

    def _ask(self, target: Target, deadline: Deadline) -> About:
        about = self._server.about(target, deadline)
        if about is not None:
            return about
        scored = self._server.score(PROBE_PHOTO, target, deadline)
        return About(scored.version, self._server.describe(scored, deadline))

    def _remember(self, asked: Asked, told: _Told) -> None:
        """Remember an answer, and forget those that are too old: anybody may ask for any number."""
        now = time.monotonic()
        seconds = REMEMBERED_SECONDS if isinstance(told, About) else FAILURE_REMEMBERED_SECONDS
        fresh = {each: answer for each, answer in self._told.items() if answer[0] > now}
        self._told = fresh | {asked: (now + seconds, told)}
