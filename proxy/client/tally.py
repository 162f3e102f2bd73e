"""How a run goes and how it went, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


class Tally:
    """Counts photos from now on."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self.photos = 0
        self.not_answered = 0
        self.answered_before = 0

    def count(self, answered: bool) -> None:
        """Count a photo that was asked about."""
        self.photos += 1
        self.not_answered += not answered

    def is_worth_telling(self) -> bool:
        """Return whether it says more than the one answer does."""
        return self.photos > 1 or self.not_answered + self.answered_before > 0

    def summary(self) -> str:
        """Return a line such as ``1,204 photos, 3 not answered, 41 photos/s``."""
        told = [f"{self.photos:,} photo{'' if self.photos == 1 else 's'}"]
        if self.answered_before:
            told.append(f"{self.answered_before:,} answered before")
        if self.not_answered:
            told.append(f"{self.not_answered:,} not answered")
        if self.photos > 1:
            rate = self.photos / (time.monotonic() - self._begun)
            told.append(f"{rate:.{0 if rate >= 10 else 1}f} photos/s")
        return ", ".join(told)


@contextmanager
def shown_progress(photos: int) -> Iterator[Callable[[], None]]:
    """Yield what moves a bar on by a photo; a bar is shown from two photos on."""
    if photos < 2:
        yield lambda: None
        return
    with click.progressbar(length=photos, label="classifying", file=sys.stderr, show_pos=True) as bar:
        yield lambda: bar.update(1)
