"""How callers are split between two versions: what ``traffic.json`` says, to whoever reads or writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

LOOK_SECONDS = 0.2
"""How long a proxy may not have seen an edit of the file."""


@dataclass(frozen=True)
class Split:
    """Shares of the requests, in percent."""

    canary_percent: float
    """Answered by the canary; the stable version answers the others."""
    shadow_percent: float = 0.0
    """Sent to the other version too, once the answer is out; only compared."""


def parse_split(text: str) -> Split:
    """Return the split that a file's text means; raises ``ValueError`` if it means none."""
    told = json.loads(text)
    if not isinstance(told, dict) or "canary_percent" not in told:
        raise ValueError('It must be like {"canary_percent": 10, "shadow_percent": 0}.')
    return Split(*(_percent(name, told.get(name, 0)) for name in ("canary_percent", "shadow_percent")))


def _percent(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
        raise ValueError(f"{name} must lie between 0 and 100. Received: {value!r}")
    return float(value)


def text_of(split: Split) -> str:
    """Return what :func:`parse_split` reads."""
    return json.dumps(vars(split)) + "\n"
