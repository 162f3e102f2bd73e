"""A second opinion: photos that were answered are shown to the other version too, and the labels compared.

A request only leaves its photos here once its answer is sent. One thread asks about one photo at a time, and
photos that come faster than it works are dropped and counted: live traffic never waits for its shadow.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from proxy.deadline import Deadline
from proxy.figures import OK, Figures
from proxy.labels import Labelling
from proxy.model_server import ModelServer, Target
from proxy.problems import ProblemError
from proxy.waiting import Waiting

log = logging.getLogger(__name__)

DROPPED = "dropped"
_DEFECT = "internal-server-error"


@dataclass(frozen=True)
class Answered:
    """A photo that a version has answered, and the label of the version to ask as well."""

    photo: bytes
    version: int
    labelling: Labelling
    shadow_label: str


class Shadow:
    """Compares the versions of one application, in a thread that the first photo starts (after the fork)."""

    def __init__(
        self, server: ModelServer, figures: Figures, timeout_seconds: float, waiting: Waiting[Answered] | None = None
    ) -> None:
        self._server = server
        self._timeout_seconds = timeout_seconds
        self._figures = figures
        self._waiting: Waiting[Answered] = waiting or Waiting()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def offer(self, photos: list[Answered]) -> None:
        """Leave photos to be compared in a while; those that do not fit are dropped. Returns at once."""
        for photo in photos:
            if not self._waiting.put(photo):
                self._figures.shadowed(photo.version, None, DROPPED)
        self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            self._compare(self._waiting.take())

    def _compare(self, answered: Answered) -> None:
        version: int | None = None
        try:
            deadline = Deadline.after(self._timeout_seconds)
            scored = self._server.score(answered.photo, Target(answered.shadow_label), deadline)
            version = scored.version
            labelling = self._server.labelling(scored, deadline)
        except ProblemError as problem:
            self._figures.shadowed(answered.version, version, problem.name)
        except Exception as error:
            # Whatever a version under trial answers, the thread goes on to the next photo.
            log.warning("A shadow's answer cannot be read: %r", error)
            self._figures.shadowed(answered.version, version, _DEFECT)
        else:
            self._figures.shadowed(answered.version, scored.version, OK)
            self._tell_apart(answered, scored.version, labelling)

    def _tell_apart(self, answered: Answered, version: int, other: Labelling) -> None:
        one = answered.labelling
        known = one.scores | other.scores
        self._figures.compared(answered.version, version, known, set(one.labels) ^ set(other.labels))
