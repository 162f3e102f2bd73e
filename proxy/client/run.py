"""One run of the client: photos are found, asked about, and written."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import click

from proxy.client.asking import Asking
from proxy.client.found import STDIN, Photo, find_photos
from proxy.client.output import FormatName, IfExists, Output, open_output
from proxy.client.record import Ask
from proxy.client.tally import Tally, shown_progress
from proxy.client.view import View
from scenery.errors import ConfigurationError
from scenery.in_order import in_order

KEY_VARIABLE: Final = "SCENERY_API_KEY"


@dataclass(frozen=True)
class Run:
    """What a run is to do: the command's options."""

    proxy_url: str
    address: str | None
    """gRPC address of the model server to ask; None to ask the proxy."""
    model_name: str | None
    version: int | None
    label: str | None
    threshold: float | None
    top: int | None
    jobs: int
    timeout_seconds: float
    format_name: FormatName
    output: Path | None
    if_exists: IfExists
    api_key_file: Path | None
    quiet: bool

    def classify(self, photos: Sequence[str]) -> bool:
        """Label the photos that are named; returns whether all were answered.

        Raises
        ------
        SceneryError
            If a setting, the output or the server cannot be used at all.
        """
        tally = Tally()
        try:
            with open_output(self.output, self.format_name, View(self.threshold, self.top), self.if_exists) as output:
                self._classify(photos, output, tally)
        except BrokenPipeError:
            raise  # whoever read has enough, and wants no summary
        except BaseException:
            self._tell(tally)
            raise
        self._tell(tally)
        return tally.not_answered == 0

    def _tell(self, tally: Tally) -> None:
        if not self.quiet and tally.is_worth_telling():
            click.echo(tally.summary(), err=True)

    def _classify(self, photos: Sequence[str], output: Output, tally: Tally) -> None:
        todo = partial(_unanswered, photos, output.answered)
        length = sum(1 for _ in todo(Tally())) if self._shows_progress() else 0
        with self._connected() as ask, shown_progress(length) as advance:
            asking = Asking(ask, self.timeout_seconds)
            with closing(in_order(asking, todo(tally), self.jobs)) as records:
                for record in records:
                    tally.count(output.format.add(record))
                    advance()

    def _connected(self) -> AbstractContextManager[Ask]:
        if self.address is not None:
            from proxy.client.over_grpc import over_grpc

            return over_grpc(self.address, self.model_name, self.version, self.label)
        from proxy.client.over_http import over_http

        return over_http(self.proxy_url, self._api_key(), self.version, self.label, self.jobs)

    def _api_key(self) -> str | None:
        if self.api_key_file is None:
            return os.environ.get(KEY_VARIABLE) or None
        try:
            return self.api_key_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"--api-key-file: the key cannot be read. Received: {error}") from error

    def _shows_progress(self) -> bool:
        """Return whether there is a terminal that shows nothing else."""
        is_shared = self.format_name == "text" and self.output is None and sys.stdout.isatty()
        return sys.stderr.isatty() and not is_shared and not self.quiet


def _unanswered(arguments: Sequence[str], before: Collection[str], tally: Tally) -> Iterator[Photo]:
    for photo in find_photos(arguments):
        if photo.name in before and photo.name != STDIN:
            tally.answered_before += 1
        else:
            yield photo
