"""A JSON object for each photo, in the words of the proxy's answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from proxy.client.record import Answer, NotAnsweredError, Record
from proxy.client.view import View, Write


class JsonLines:
    """Lines for programs."""

    def __init__(self, write: Write, view: View) -> None:
        self._write = write
        self._view = view

    def add(self, record: Record) -> bool:
        """Write a record; returns whether the photo was answered."""
        self._write(json.dumps({"file": record.file} | self._told(record)) + "\n")
        return isinstance(record.outcome, Answer)

    def end(self) -> None:
        """Nothing was held back."""

    def _told(self, record: Record) -> dict[str, Any]:
        if isinstance(record.outcome, NotAnsweredError):
            return {"error": dict(record.outcome.problem)}
        labelling = self._view.of(record.outcome)
        return {
            "model": record.outcome.model,
            "version": record.outcome.version,
            "labels": labelling.labels,
            "labels_from": labelling.source,
            "scores": labelling.scores,
            "top": {"index": labelling.top_index, "label": labelling.top_label},
        }


def answered_lines(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the file and the line of each photo that was answered; raises ``ValueError`` at any other line."""
    for line in lines:
        record = json.loads(line)
        if not isinstance(record, dict) or not isinstance(record.get("file"), str):
            raise ValueError("a line is no record")
        if "error" not in record:
            yield record["file"], line
