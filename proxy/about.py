"""All that a version says of itself, for those who ask what model answers them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.labels import Description


@dataclass(frozen=True)
class About:
    """A version's own words."""

    version: int
    description: Description
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where it comes from, and its figures as ``metrics``; empty if it does not say."""
    card: str | None = None
    """Its model card, Markdown; None if it has none."""


def read_about(version: int, description: Description, provenance: Sequence[str], card: Sequence[str]) -> About:
    """Return what a version says of itself.

    Parameters
    ----------
    provenance, card
        One text, or none.

    Raises
    ------
    ValueError
        If there are other thresholds than labels, or the provenance is no JSON object.
    """
    labels, thresholds = description.labels, description.thresholds
    if len(labels) != len(thresholds) or not labels or not all(map(math.isfinite, thresholds)):
        raise ValueError(f"{len(labels)} labels with the thresholds {list(thresholds)}")
    # NaN and Infinity are no JSON, though Python writes them.
    told = json.loads(provenance[0], parse_constant=lambda _: None) if provenance else {}
    if not isinstance(told, dict):
        raise ValueError(f"its provenance is no JSON object but a {type(told).__name__}")
    return About(version, description, told, card[0] if card else None)
