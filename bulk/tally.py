"""How a run went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bulk.output import Output


@dataclass(frozen=True)
class Tally:
    """Counts the photos that were found: each in one of four places."""

    version: int
    scored: int
    scored_before: int
    failed: int
    failed_before: int
    seconds: float
    """From the first part's start until the last one's end, the runner's and the model's own start among them."""

    @property
    def all_scored(self) -> bool:
        """Whether every photo that was found has scores."""
        return not self.failed and not self.failed_before

    def as_dict(self, output: Output) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        rate = round(self._photos() / self.seconds, 1) if self._photos() else None
        return {**vars(self), "photos_per_second": rate, "output": output.scores, "dead_letters": output.failed}

    def summary(self, output: Output) -> str:
        """Return lines such as ``1,201 photos scored by version 2, 3 failed, 104 photos/s``."""
        told = [f"{self.scored:,} photo{'' if self.scored == 1 else 's'} scored by version {self.version}"]
        if self.scored_before:
            told.append(f"{self.scored_before:,} scored before")
        if self.failed:
            told.append(f"{self.failed:,} failed")
        if self.failed_before:
            told.append(f"{self.failed_before:,} failed before")
        if self._photos() > 1:
            rate = self._photos() / self.seconds
            told.append(f"{rate:.{0 if rate >= 10 else 1}f} photos/s")
        lines = [", ".join(told), f"Scores: {output.scores}"]
        return "\n".join(lines if self.all_scored else [*lines, f"Dead letters, with reasons: {output.failed}"])

    def _photos(self) -> int:
        return self.scored + self.failed
