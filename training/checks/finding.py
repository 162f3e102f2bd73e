"""What a check found: how grave, which photos and labels, and what cures it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from scenery.errors import DataError

Severity = Literal["error", "warning", "hint"]

_TOLD = 5
"""How many errors one message holds."""


@dataclass(frozen=True)
class Check:
    """A question asked of the data."""

    name: str
    """In short, for scripts: ``missing-photo``."""
    severity: Severity
    """An error stops a training, a warning fails where one is strict, a hint never does."""
    cure: str
    """What to do about it, in a sentence."""

    def found(self, sentence: str, names: Iterable[str] = (), labels: Iterable[str] = ()) -> Finding:
        """Answer the question: something was found."""
        return Finding(self, sentence, tuple(names), tuple(labels))


@dataclass(frozen=True)
class Finding:
    """One answer to a check."""

    check: Check
    sentence: str
    names: tuple[str, ...] = ()
    """The photos concerned, as the table names them."""
    labels: tuple[str, ...] = ()
    suggested: int | None = None
    """What the one label of the one photo might be instead: 0 or 1."""
    score: float | None = None
    """The score, in [0, 1], of that label of that photo by a model that did not see it."""


def is_error(finding: Finding) -> bool:
    """Tell whether the finding stops a training."""
    return finding.check.severity == "error"


def stop_on_errors(findings: Iterable[Finding]) -> None:
    """Stop here if there are errors.

    Raises
    ------
    DataError
        That lists the first errors, each with its cure, and how many there are.
    """
    errors = [finding for finding in findings if is_error(finding)]
    if not errors:
        return
    lines = [f"The data cannot be trained on: {len(errors)} error{'s' * (len(errors) > 1)}."]
    lines += [f"  {finding.sentence} {finding.check.cure}" for finding in errors[:_TOLD]]
    if len(errors) > _TOLD:
        lines.append(f"  … and {len(errors) - _TOLD} more.")
    lines.append("`scenery check-data` tells them all.")
    raise DataError("\n".join(lines))
