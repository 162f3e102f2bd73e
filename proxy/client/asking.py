"""How long a photo is worth asking about: again while a server is busy, until its time is over."""

from __future__ import annotations

import random
import time

from proxy.client.found import Photo
from proxy.client.record import Answer, Ask, NotAnsweredError, Record, UnreachableError
from proxy.deadline import Deadline

SHORTEST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 10.0
"""Waits between two attempts lie between these, whatever ``Retry-After`` says."""
OUTAGE_WAIT_SECONDS = 0.5
"""How soon to look whether a server that answered before is back."""


class Asking:
    """Asks about a photo until there is an outcome. Threads share it."""

    def __init__(self, ask: Ask, timeout_seconds: float) -> None:
        self._ask = ask
        self._timeout_seconds = timeout_seconds
        self._has_answered = False

    def __call__(self, photo: Photo) -> Record:
        """Return what became of a photo.

        Raises
        ------
        UnreachableError
            If nobody listens: at once if nobody has so far, else after the photo's time.
        """
        try:
            content = photo.read()
            return Record(photo.name, self._answer(content, Deadline.after(self._timeout_seconds)))
        except NotAnsweredError as error:
            return Record(photo.name, error)

    def _answer(self, content: bytes, deadline: Deadline) -> Answer:
        while True:
            try:
                answer = self._ask(content, deadline)
            except UnreachableError:
                if not self._has_answered or not _waited(OUTAGE_WAIT_SECONDS, deadline):
                    raise
            except NotAnsweredError as error:
                self._has_answered = True
                if error.retry_after_seconds is None or not _waited(error.retry_after_seconds, deadline):
                    raise
            else:
                self._has_answered = True
                return answer


def _waited(seconds: float, deadline: Deadline) -> bool:
    """Wait, a bit longer than asked for so that not all come back together; False if there is no time for it."""
    seconds = min(max(seconds, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS) * random.uniform(1, 1.25)
    if seconds >= deadline.seconds_left():
        return False
    time.sleep(seconds)
    return True
