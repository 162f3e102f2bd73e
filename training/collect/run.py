"""One run of the command: a folder is held, filled, and what came of it is told."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import click
from PIL import Image

from scenery.errors import DataError
from scenery.signals import interrupt_on_termination
from training.collect import summary
from training.collect.collection import Collection, Fetch, Tally, opened
from training.collect.found import Found
from training.collect.ledger import Ledger
from training.collect.web import Web


@dataclass(frozen=True)
class Settings:
    """What all sources are told: the command's options."""

    out: Path
    side_pixels: int
    jobs: int
    as_json: bool
    timeout_seconds: float = 30


@dataclass(frozen=True)
class Run:
    """A run, while the folder is held."""

    settings: Settings
    ledger: Ledger
    web: Web
    stopped: Event
    tally: Tally

    def collect(self, found: Sequence[Found], fetch: Fetch) -> None:
        """Take in what was found; raises what :meth:`Collection.collect` raises."""
        settings = self.settings
        collection = Collection(settings.out, self.ledger, fetch, settings.side_pixels, self.stopped, self.tally)
        with shown_progress(len(found), "collecting", self.tally.counts) as advance:
            collection.collect(found, settings.jobs, advance)


@contextmanager
def running(settings: Settings) -> Iterator[Run]:
    """Hold the folder; at the end, however it comes, what came of it is printed.

    Raises
    ------
    ConfigurationError
        If the folder cannot be used.
    DataError
        If photos were found, and none of them could be had, now or before.
    """
    interrupt_on_termination()  # what is saved by then is written into the table
    stopped, tally = Event(), Tally()
    try:
        with opened(settings.out) as ledger, warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged files, whose errors are told
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield Run(settings, ledger, Web(settings.jobs, settings.timeout_seconds, stopped), stopped, tally)
    finally:
        if tally.listed is not None:
            told = summary.as_json if settings.as_json else summary.as_text
            click.echo(told(settings.out, tally))
    if tally.failed and not tally.listed:
        raise DataError(f"No photo could be had. The first: {next(summary.failures(tally))}")


@contextmanager
def shown_progress(length: int, label: str, counts: Callable[[], str] = str) -> Iterator[Callable[[], None]]:
    """Yield what moves a bar on by one; it is shown on a terminal only, with what ``counts`` returns."""

    def show(_: Any) -> str:
        return counts()

    hidden = not sys.stderr.isatty()
    with click.progressbar(
        length=length, label=label, file=sys.stderr, show_pos=True, item_show_func=show, hidden=hidden
    ) as bar:
        yield lambda: bar.update(1)
