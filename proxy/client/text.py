"""A line to read for each photo: ``a.jpg  city 98 %, sunset 61 %``."""

from __future__ import annotations

from proxy.client.record import Answer, NotAnsweredError, Record
from proxy.client.view import View, Write
from proxy.labels import Labelling

WIDEST = 60
"""Longer names push their line's rest to the right; the others are aligned."""


class Text:
    """Lines for people."""

    def __init__(self, write: Write, view: View) -> None:
        self._write = write
        self._view = view
        self._width = 0

    def add(self, record: Record) -> bool:
        """Write a record; returns whether the photo was answered."""
        name = printable(record.file)
        self._width = max(self._width, min(len(name), WIDEST))
        self._write(f"{name:{self._width}}  {self._told(record)}\n")
        return isinstance(record.outcome, Answer)

    def end(self) -> None:
        """Nothing was held back."""

    def _told(self, record: Record) -> str:
        if isinstance(record.outcome, NotAnsweredError):
            return f"not answered: {printable(record.outcome.detail)}"
        return self._labels(self._view.of(record.outcome))

    def _labels(self, labelling: Labelling) -> str:
        others = [label for label in labelling.scores if label not in labelling.labels]
        if self._view.top is None:
            others = [] if labelling.labels else [labelling.top_label]
        named = _percents(labelling, labelling.labels) or "no label"
        return f"{named} ({_percents(labelling, others)})" if others else named


def printable(text: str) -> str:
    """Return a text with escapes for what is no character, or would move a terminal's cursor."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _percents(labelling: Labelling, labels: list[str]) -> str:
    return ", ".join(f"{label} {100 * labelling.scores[label]:.0f} %" for label in labels)
