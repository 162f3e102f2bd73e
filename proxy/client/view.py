"""What of a photo's scores is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from proxy.client.record import Answer, Record
from proxy.labels import Labelling, narrow

Write = Callable[[str], None]
"""Takes whole lines."""


@dataclass(frozen=True)
class View:
    """A threshold instead of each label's own, and how many scores; see :func:`proxy.labels.narrow`."""

    threshold: float | None = None
    top: int | None = None

    def of(self, answer: Answer) -> Labelling:
        """Return the labelling of an answer as it is shown."""
        return narrow(answer.labelling, self.threshold, self.top)


class Format(Protocol):
    """Writes records."""

    def add(self, record: Record) -> bool:
        """Write a record; returns whether the photo was answered and its answer could be written."""

    def end(self) -> None:
        """Write what was held back."""
