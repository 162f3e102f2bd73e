"""A second opinion: photos that were answered are shown to the other version too, and the labels compared.

A request only leaves its photos here once its answer is sent. One thread asks about one photo at a time, and
photos that come faster than it works are dropped and counted: live traffic never waits for its shadow.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

from proxy.deadline import Deadline
from proxy.figures import OK, Figures
from proxy.labels import Labelling
from proxy.model_server import ModelServer, Target
from proxy.problems import ProblemError

log = logging.getLogger(__name__)

MAX_PHOTOS = 64
MAX_BYTES = 64 * 2**20
"""What may wait, in each worker."""

DROPPED = "dropped"
_DEFECT = "internal-server-error"


@dataclass(frozen=True)
class Answered:
    """A photo that a version has answered, and the label of the version to ask as well."""

    photo: bytes
    version: int
    labelling: Labelling
    shadow_label: str


class Waiting:
    """Photos in a line that has an end: so many, and so many bytes. Threads share it."""

    def __init__(self, max_photos: int = MAX_PHOTOS, max_bytes: int = MAX_BYTES) -> None:
        self._max_photos = max_photos
        self._max_bytes = max_bytes
        self._line: deque[Answered] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    def put(self, answered: Answered) -> bool:
        """Add a photo to the end, if there is room; tells whether there was. Never waits for room."""
        with self._changed:
            size = len(answered.photo)
            if len(self._line) >= self._max_photos or self._bytes + size > self._max_bytes:
                return False
            self._line.append(answered)
            self._bytes += size
            self._changed.notify()
            return True

    def take(self) -> Answered:
        """Remove the first photo; waits until there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self._line)
            answered = self._line.popleft()
            self._bytes -= len(answered.photo)
            return answered


class Shadow:
    """Compares the versions of one application, in a thread that the first photo starts (after the fork)."""

    def __init__(
        self, server: ModelServer, figures: Figures, timeout_seconds: float, waiting: Waiting | None = None
    ) -> None:
        self._server = server
        self._timeout_seconds = timeout_seconds
        self._figures = figures
        self._waiting = waiting or Waiting()
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
