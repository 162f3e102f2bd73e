"""Whether photos can be answered, found out by scoring one."""

from __future__ import annotations

import struct
import threading
import time
from typing import Final

from proxy.deadline import Deadline
from proxy.labels import Labelling
from proxy.model_server import Scored, Target
from proxy.scoring import Scoring
from proxy.traffic import Traffic

REMEMBERED_SECONDS: Final = 1.0
"""How long an answer stands for the next probes: they are no way to load a model server."""

PROBE_PHOTO = (
    b"BM"
    + struct.pack("<IHHI", 58, 0, 0, 54)
    + struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0)
    + bytes(4)
)
"""The smallest photo: one black pixel, as BMP."""


class Readiness:
    """Scores a photo of its own. Threads share it; those that ask together wait for one answer."""

    def __init__(self, scoring: Scoring, traffic: Traffic, timeout_seconds: float) -> None:
        self._scoring = scoring
        self._traffic = traffic
        self._timeout_seconds = timeout_seconds
        self._asking = threading.Lock()
        self._asked_at = float("-inf")
        self._answer: tuple[Scored, Labelling] | None = None

    def ask(self) -> tuple[Scored, Labelling]:
        """Return what the version that most callers get says of the photo.

        Raises
        ------
        ProblemError
            If nobody answers, as 503; that is found out anew each time.
        """
        with self._asking:
            if self._answer is None or time.monotonic() - self._asked_at > REMEMBERED_SECONDS:
                self._answer = None
                deadline = Deadline.after(self._timeout_seconds)
                self._answer = self._scoring.probe(PROBE_PHOTO, Target(self._traffic.main_label()), deadline)
                self._asked_at = time.monotonic()
            return self._answer
