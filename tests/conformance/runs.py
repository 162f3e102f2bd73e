"""Many scenarios at a time, against one kind of server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.check import check
from tests.processes import ROOT

HERE = Path(__file__).parent
SERVER = [sys.executable, "-m", "serving.main"]
START_SECONDS = 60.0

Scenario = dict[str, Any]
Results = list[dict[str, Any]]


@dataclass(frozen=True)
class Difference:
    """A call that is answered otherwise on purpose."""

    call: str
    shows: str
    """What the difference must show: anything else is a failure."""
    reason: str

    def explains(self, result: dict[str, Any]) -> bool:
        """Return whether a failed call failed in this way."""
        return self.call == result["call"] and self.shows in "; ".join(result["differences"])


def differences() -> list[Difference]:
    """Read the list of differences on purpose."""
    return [Difference(**each) for each in json.loads((HERE / "differences.json").read_text())]


def build_models(store: Path) -> None:
    """Write the SavedModels that the scenarios serve."""
    subprocess.run(
        [sys.executable, "-m", "tests.conformance.models", str(store)], check=True, capture_output=True, cwd=ROOT
    )


def play_all(
    scenarios: Iterable[Scenario], command: list[str], store: Path, jobs: int, limit_seconds: float = 1800
) -> Iterator[tuple[Scenario, Results]]:
    """Play scenarios, ``jobs`` at a time, each on a server of its own; yields them as they end."""
    deadline = time.monotonic() + limit_seconds
    with ThreadPoolExecutor(jobs) as pool:
        played = {
            pool.submit(check, scenario, command, store, START_SECONDS, deadline): scenario for scenario in scenarios
        }
        for future in as_completed(played):
            yield played[future], future.result()
