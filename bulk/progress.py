"""How far a run is: a bar on a terminal, moved on by photos that were looked at and parts that were finished."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import click

from bulk import seen
from bulk.output import Output
from scenery.errors import ConfigurationError


@dataclass
class Progress:
    """Counts the photos of a plan that are done."""

    sizes: Mapping[str, int]
    """Photos of each part, by its key."""
    output: Output
    _seen_before: int = field(default_factory=seen.count)

    def photos(self) -> int:
        """Return how many are done: in parts that are finished, or in this process if that is more."""
        in_parts = sum(self.sizes.get(key, 0) for key in self.output.finished())
        here = min(seen.count() - self._seen_before, sum(self.sizes.values()))
        return max(in_parts, here)


@contextmanager
def shown(progress: Progress, is_shown: bool) -> Iterator[Callable[[], None]]:
    """Yield what brings a bar up to date; there is none if it is not to be shown."""
    if not is_shown:
        yield lambda: None
        return
    begun = time.monotonic()
    total = sum(progress.sizes.values())
    # A descriptor of its own: standard error may lead nowhere while a model is loaded.
    with (
        os.fdopen(os.dup(sys.stderr.fileno()), "w") as terminal,
        click.progressbar(
            length=total, label="scoring", file=terminal, show_pos=True, item_show_func=lambda rate: rate
        ) as bar,
    ):

        def update() -> None:
            with suppress(ConfigurationError):  # the output cannot be listed; the next look may be luckier
                photos = progress.photos()
                bar.update(photos - bar.pos, f"{photos / (time.monotonic() - begun):.0f} photos/s")

        bar.render_progress()
        yield update
        update()
