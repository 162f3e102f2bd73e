"""What a check found, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from scenery.errors import ExportError, VersionError

Outcome = Literal["passed", "refused", "forced", "not run"]

CHECKS = ("operations", "manifest", "golden", "describe", "warmup", "precision", "quality", "latency")
"""In the order in which they are made."""


@dataclass(frozen=True)
class Finding:
    """What a check saw."""

    fine: bool
    detail: str
    """A sentence for people."""
    figures: dict[str, Any] = field(default_factory=dict)
    """The same for programs."""


@dataclass(frozen=True)
class Verdict:
    """A check's result; ``forced`` is a refusal that somebody overruled."""

    check: str
    verdict: Outcome
    detail: str
    figures: dict[str, Any]

    @property
    def stops(self) -> bool:
        """Whether the version is not to be published."""
        return self.verdict in ("refused", "not run")


def judge(check: str, is_forced: bool, look: Callable[[], Finding]) -> Verdict:
    """Make a check; what it raises on purpose is a refusal."""
    try:
        finding = look()
    except (ExportError, VersionError, OSError) as error:
        finding = Finding(False, str(error))
    outcome: Outcome = "passed" if finding.fine else "forced" if is_forced else "refused"
    return Verdict(check, outcome, finding.detail, finding.figures)


def not_run(check: str, is_forced: bool, why: str) -> Verdict:
    """Tell of a check that could not be made."""
    return Verdict(check, "forced" if is_forced else "not run", why, {})
