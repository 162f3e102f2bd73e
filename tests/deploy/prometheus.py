"""A real Prometheus, on the configuration of deploy/monitoring, for tests."""

from __future__ import annotations

import math
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.processes import DEADLINE_SECONDS, ROOT, free_ports, http, wait_until

MONITORING = ROOT / "deploy/monitoring"
INTERVALS = {"_interval: 15s": "_interval: 1s", "interval: 2m": "interval: 1s"}
"""Those of the files, and those that a test can wait for."""
_READY = "Server is ready to receive web requests"


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that is running."""

    url: str

    def values(self, expression: str) -> list[float]:
        """Return the values that an expression has now; fails if it is none."""
        result = self._get(f"query?query={quote(expression)}")["result"]
        return [float(each["value"][1]) for each in result]

    def has_data(self, expression: str) -> bool:
        """Tell whether some value of an expression is a number."""
        return any(not math.isnan(each) for each in self.values(expression))

    def rules(self) -> dict[str, str]:
        """Return how the last evaluation of each rule went: ``ok`` if well."""
        groups = self._get("rules")["groups"]
        return {
            rule["name"]: rule["lastError"] if "lastError" in rule else rule["health"]
            for group in groups
            for rule in group["rules"]
        }

    def exported(self) -> set[str]:
        """Return the names of the series that the targets tell of, those that have no value yet too."""
        families = {each["metric"]: each["type"] for each in self._get("targets/metadata")}
        return {
            name + suffix
            for name, kind in families.items()
            for suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))
        }

    def _get(self, path: str) -> Any:
        status, answer, _ = http("GET", f"{self.url}/api/v1/{path}")
        assert status == 200, (path, answer)
        return answer["data"]


@contextmanager
def prometheus(work: Path, targets: dict[str, str]) -> Iterator[Prometheus]:
    """Run it on a copy of its files in which only targets, by those that are written there, and intervals differ."""
    shutil.copytree(MONITORING, work / "monitoring")
    for file in ("prometheus.yml", "rules.yml"):
        _replace(work / "monitoring" / file, targets | INTERVALS)
    (port,) = free_ports(1)
    running = Prometheus(f"http://127.0.0.1:{port}")
    command = ["prometheus", f"--config.file={work}/monitoring/prometheus.yml", f"--storage.tsdb.path={work}/data"]
    log = work / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=output, stderr=output)
    try:
        wait_until(lambda: _READY in log.read_text() or process.poll() is not None, "Prometheus to be ready")
        assert process.poll() is None, log.read_text()
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_SECONDS)


def _replace(file: Path, texts: dict[str, str]) -> None:
    text = file.read_text()
    for old, new in texts.items():
        text = text.replace(old, new)
    file.write_text(text)
