"""How the callers are split: one small file that proxies read again when it changes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from scenery.errors import RolloutError
from scenery.files import replace_text


@dataclass(frozen=True)
class Split:
    """Shares of the requests, in percent."""

    canary_percent: float
    """Answered by the canary; the stable version answers the others."""
    shadow_percent: float = 0.0
    """Sent to the other version too, once the answer is out; only compared."""


def read_split(path: Path) -> Split | None:
    """Return the split, or None if there is none; raises :class:`RolloutError` if the file cannot be read."""
    try:
        content = json.loads(path.read_text())
        return Split(float(content["canary_percent"]), float(content.get("shadow_percent", 0)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RolloutError(
            f"{path} cannot be read: {error!r}. Remove it, or write it again: scenery canary."
        ) from error


def write_split(path: Path, split: Split) -> None:
    """Split the callers so, in one step; raises :class:`RolloutError` if that fails."""
    try:
        replace_text(path, json.dumps(vars(split)) + "\n")
    except OSError as error:
        raise RolloutError(
            f"{path} cannot be written: {error.strerror}. The split is as it was; make room and try again."
        ) from error
