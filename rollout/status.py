"""What is on disk, what the server says, and who is sent where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rollout.rollout import CANARY, STABLE, Rollout
from scenery import versions


@dataclass(frozen=True)
class VersionLine:
    """What is known of one version."""

    version: int
    on_disk: bool
    state: str
    """As the server says; empty if it knows nothing of it."""
    error: str
    labels: list[str]
    """As the server answers for them."""
    percent: float
    """The share of callers that a proxy sends there."""
    last_good: bool


def read_status(rollout: Rollout) -> list[VersionLine]:
    """Return a line for each version, highest first.

    Raises
    ------
    RolloutError
        If the server does not answer.
    """
    states = rollout.server.states()
    labelled = {label: rollout.server.labelled(label) for label in (STABLE, CANARY)}
    present = set(versions.list_versions(rollout.places.models_dir / rollout.places.model_name))
    shares = _shares(labelled, rollout.percent(), max(rollout.server.available(), default=None))
    return [
        VersionLine(
            version,
            version in present,
            states[version].state if version in states else "",
            states[version].error if version in states else "",
            [label for label, each in labelled.items() if each == version],
            shares.get(version, 0.0),
            version == rollout.last_good(),
        )
        for version in sorted(present | set(states), reverse=True)
    ]


def _shares(labelled: dict[str, int | None], percent: float | None, latest: int | None) -> dict[int, float]:
    stable = labelled[STABLE]
    if percent is None or stable is None:
        return {} if latest is None else {latest: 100.0}
    canary = labelled[CANARY]
    if canary is None or canary == stable:
        return {stable: 100.0}
    return {stable: 100 - percent, canary: percent}


def table(lines: list[VersionLine]) -> str:
    """Return the lines as a table."""
    rows = [("version", "state", "labels", "traffic", "on disk", "")]
    for line in lines:
        remark = line.error.splitlines()[0] if line.error else ("last good" if line.last_good else "")
        share = f"{line.percent:g} %" if line.percent else ""
        on_disk = "yes" if line.on_disk else "no"
        rows.append((str(line.version), line.state or "-", ", ".join(line.labels), share, on_disk, remark))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def as_json(lines: list[VersionLine]) -> list[dict[str, Any]]:
    """Return the lines as what ``json.dumps`` takes."""
    return [vars(line) for line in lines]
