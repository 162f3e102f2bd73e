"""The version policy: which version to load or unload next. A pure function.

The policy preserves availability: as long as any aspired version is still to be loaded, the
versions that serve now go on serving.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from serving.servable import State


@dataclass(frozen=True)
class Snapshot:
    """A version as the policy sees it."""

    version: int
    state: State
    aspired: bool
    """Whether the source wants it served."""


@dataclass(frozen=True)
class Load:
    """Load this version."""

    version: int


@dataclass(frozen=True)
class Unload:
    """Unload this version."""

    version: int


Action = Load | Unload


def next_action(snapshots: Iterable[Snapshot]) -> Action | None:
    """Decide the next step for one model, or None if there is nothing to do.

    Of the versions no longer aspired, the lowest is unloaded as soon as an aspired one is
    AVAILABLE, or if none is aspired at all; else the highest aspired one that is new is loaded.
    """
    versions = list(snapshots)
    aspired = [version for version in versions if version.aspired]
    serving = any(version.state is State.AVAILABLE for version in aspired)
    retired = [version.version for version in versions if not version.aspired and version.state is State.AVAILABLE]
    if retired and (serving or not aspired):
        return Unload(min(retired))
    new = [version.version for version in aspired if version.state is State.START]
    return Load(max(new)) if new else None
