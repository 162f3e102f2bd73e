"""What is on disk, what the servers say, who is sent where, and how the versions differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rollout.figures import Shadow, added, read_page, shadow_of
from rollout.labels import CANARY, STABLE
from rollout.model_server import AVAILABLE, ModelServer, VersionState
from rollout.rollout import Rollout
from scenery import versions
from scenery.errors import RolloutError
from scenery.traffic import Split


@dataclass(frozen=True)
class VersionLine:
    """What is known of one version in one server."""

    version: int
    server: str
    on_disk: bool
    state: str
    """As the server says; empty if it knows nothing of it."""
    error: str
    labels: list[str]
    """As the server answers for them."""
    percent: float
    """The share of callers that a proxy sends there."""
    last_good: bool


@dataclass
class Status:
    """The whole of it."""

    versions: list[VersionLine] = field(default_factory=list)
    split: Split | None = None
    shadow: Shadow | None = None
    """What a proxy compared of the stable version and the canary."""
    problems: list[str] = field(default_factory=list)
    """Who did not answer."""


def read_status(rollout: Rollout, proxies: Sequence[str]) -> Status:
    """Return what can be found out; a server or proxy that does not answer is named among the problems."""
    status = Status()
    try:
        status.split = rollout.split()
    except RolloutError as error:
        status.problems.append(str(error))
    for server in rollout.servers.each:
        try:
            lines = _lines(rollout, server, server.states(), status.split)
            status.versions += lines
            status.problems += _unanswered(rollout, lines)
        except RolloutError as error:
            status.problems.append(str(error))
            status.versions += _lines(rollout, server, None, status.split)
    labelled = {label: _labelled(status.versions, label) for label in (STABLE, CANARY)}
    if status.split is not None and status.split.shadow_percent:
        try:
            pages = added(read_page(proxy) for proxy in proxies)
            status.shadow = shadow_of(pages, [each for each in labelled.values() if each is not None])
        except RolloutError as error:
            status.problems.append(str(error))
    return status


def _unanswered(rollout: Rollout, lines: list[VersionLine]) -> list[str]:
    """Tell of labels that the config gives to versions which do not answer for them."""
    config = rollout.places.config_file
    return [
        f"{config} gives the label {label!r} to version {version}, which does not answer for it: repeat the last "
        "command, or scenery rollback."
        for label, version in rollout.labels.entry().labels.items()
        if label in (STABLE, CANARY) and not any(line.version == version and label in line.labels for line in lines)
    ]


def _lines(
    rollout: Rollout, server: ModelServer, states: dict[int, VersionState] | None, split: Split | None
) -> list[VersionLine]:
    """Return a line for each version, highest first; ``states`` is None if the server does not answer."""
    known = states or {}
    labelled = {label: server.labelled(label) if states is not None else None for label in (STABLE, CANARY)}
    present = set(versions.list_versions(rollout.places.model_dir))
    available = [version for version, each in known.items() if each.state == AVAILABLE]
    last_good = rollout.last_good()
    shares = _shares(labelled, split, max(available, default=None))
    return [
        VersionLine(
            version,
            server.address,
            version in present,
            known[version].state if version in known else "",
            known[version].error if version in known else "",
            [label for label, each in labelled.items() if each == version],
            shares.get(version, 0.0),
            version == last_good,
        )
        for version in sorted(present | set(known), reverse=True)
    ]


def _labelled(lines: list[VersionLine], label: str) -> int | None:
    return next((line.version for line in lines if label in line.labels), None)


def _shares(labelled: dict[str, int | None], split: Split | None, latest: int | None) -> dict[int, float]:
    stable = labelled[STABLE]
    if split is None or stable is None:
        return {} if latest is None else {latest: 100.0}
    canary = labelled[CANARY]
    if canary is None or canary == stable:
        return {stable: 100.0}
    return {stable: 100 - split.canary_percent, canary: split.canary_percent}


def table(status: Status) -> str:
    """Return the status as people read it."""
    several = len({line.server for line in status.versions}) > 1
    rows = [("version", *(["server"] if several else []), "state", "labels", "traffic", "on disk", "")]
    for line in status.versions:
        remark = line.error.splitlines()[0] if line.error else ("last good" if line.last_good else "")
        share = f"{line.percent:g} %" if line.percent else ""
        on_disk = "yes" if line.on_disk else "no"
        where = [line.server] if several else []
        rows.append((str(line.version), *where, line.state or "-", ", ".join(line.labels), share, on_disk, remark))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *_shadow_lines(status)])


def _shadow_lines(status: Status) -> list[str]:
    if status.split is None or not status.split.shadow_percent:
        return []
    asked = f"shadow: {status.split.shadow_percent:g} % of the requests are sent to both versions"
    shadow = status.shadow
    if shadow is None:
        return [asked]
    told = ", ".join(
        f"{label} {100 * count / max(shadow.compared, 1):.1f} %" for label, count in shadow.disagreements.items()
    )
    missing = f"; {shadow.failed} not compared" if shadow.failed else ""
    differ = f"; they differ on: {told}" if told else ""
    return [f"{asked}; {shadow.compared} photos compared{missing}{differ}"]


def as_json(status: Status) -> dict[str, Any]:
    """Return the status as what ``json.dumps`` takes."""
    return {
        "versions": [vars(line) for line in status.versions],
        "split": vars(status.split) if status.split else None,
        "shadow": vars(status.shadow) if status.shadow else None,
        "problems": status.problems,
    }
