"""The clients of :mod:`benchmarks.load`, started and waited for by those who measure."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

PHOTO = Path("examples/photos/images/0546.jpg")
"""27 KB, 400 pixels wide."""


class Load:
    """Clients that are calling, in a process of their own."""

    def __init__(self, wire: str, address: str, *flags: object, photo: Path = PHOTO) -> None:
        """Begin; ``flags`` are those of :mod:`benchmarks.load`."""
        command = [sys.executable, "-m", "benchmarks.load", wire, address, "--photo", str(photo), *map(str, flags)]
        # A session of its own: Ctrl-C reaches it through whoever started it.
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def is_running(self) -> bool:
        """Return whether they still call."""
        return self._process.poll() is None

    def result(self) -> dict[str, Any]:
        """Wait for their end; returns what :mod:`benchmarks.load` prints."""
        try:
            output, _ = self._process.communicate()
        except BaseException:
            self.kill()
            raise
        result: dict[str, Any] = json.loads(output)
        return result

    def stop(self) -> dict[str, Any]:
        """Let them finish what they have begun; returns the same."""
        self._process.terminate()
        return self.result()

    def kill(self) -> None:
        """End them at once, whatever they do."""
        self._process.kill()
        self._process.communicate()


def load(wire: str, address: str, *flags: object, photo: Path = PHOTO) -> dict[str, Any]:
    """Call, and wait for the end; returns what :mod:`benchmarks.load` prints."""
    return Load(wire, address, *flags, photo=photo).result()


def rate(result: dict[str, Any]) -> float:
    """Return photos a second until the last answer; no photo may have failed."""
    assert not result["failed"], result["failures"]
    return len(result["milliseconds"]) / float(result.get("drained_seconds", result["seconds"]))


def p99(milliseconds: list[float]) -> float:
    """Return the 99th percentile; of few, next to the longest."""
    if len(milliseconds) == 1:  # before Python 3.13, statistics wants two
        return milliseconds[0]
    return statistics.quantiles(milliseconds, n=100, method="inclusive")[98]
