"""The share of callers that a proxy sends to the canary: one small file that proxies read again when it changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

from scenery.errors import RolloutError


def read_percent(path: Path) -> float | None:
    """Return the canary's share in percent, or None if there is no split; raises :class:`RolloutError`."""
    try:
        return float(json.loads(path.read_text())["canary_percent"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RolloutError(
            f"{path} cannot be read: {error!r}. Remove it, or write it again: scenery canary."
        ) from error


def write_percent(path: Path, percent: float) -> None:
    """Send ``percent`` of the callers to the canary, in one step; raises :class:`RolloutError` if that fails."""
    staged = path.with_name(f".{path.name}.new")
    try:
        with staged.open("w") as stream:
            stream.write(json.dumps({"canary_percent": percent}) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(path)
    except OSError as error:
        raise RolloutError(
            f"{path} cannot be written: {error.strerror}. The split is as it was; make room and try again."
        ) from error
