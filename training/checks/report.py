"""What was found, for people and for scripts."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import Any, get_args

import pandas as pd

from training.checks.finding import Finding, Severity

TOLD = 10
"""How many findings of one check the text holds."""

_SEVERITIES: tuple[Severity, ...] = get_args(Severity)


def as_text(findings: list[Finding], table: pd.DataFrame, targets: list[str]) -> str:
    """Tell the photos of every label, then what each check found, the gravest first."""
    blocks = [_prevalence(table, targets)] if len(table) else []
    blocks += [_block(list(alike)) for _, alike in groupby(sorted(findings, key=gravity), key=gravity)]
    return "\n\n".join([*blocks, summary(findings)])


def as_json(findings: list[Finding], table: pd.DataFrame, targets: list[str]) -> dict[str, Any]:
    """Return everything that was found, none left out."""
    counts = _counts(findings)
    return {
        "photos": len(table),
        "labels": {label: int(table[label].sum()) if len(table) else 0 for label in targets},
        **{f"{severity}s": counts[severity] for severity in _SEVERITIES},
        "findings": [_entry(finding) for finding in sorted(findings, key=gravity)],
    }


def summary(findings: list[Finding]) -> str:
    """Return how many errors, warnings and hints there are."""
    counts = _counts(findings)
    return ", ".join(f"{counts[severity]} {severity}{'s' * (counts[severity] != 1)}" for severity in _SEVERITIES)


def _counts(findings: list[Finding]) -> Counter[Severity]:
    return Counter(finding.check.severity for finding in findings)


def gravity(finding: Finding) -> tuple[int, str]:
    """Return what findings are sorted by: errors come first, and alike ones stand together."""
    return _SEVERITIES.index(finding.check.severity), finding.check.name


def _prevalence(table: pd.DataFrame, targets: list[str]) -> str:
    width = max(len("readable photos"), *map(len, targets))
    rows = [("readable photos", len(table)), *((label, int(table[label].sum())) for label in targets)]
    rows.append(("no label", int((table[targets].sum(axis=1) == 0).sum())))
    return "\n".join(f"{name:{width}} {count:>7} {100 * count / len(table):>6.1f} %" for name, count in rows)


def _block(findings: list[Finding]) -> str:
    check = findings[0].check
    lines = [f"{check.severity.upper()} {check.name} ({len(findings)}): {check.cure}"]
    lines += [f"  {_line(finding)}" for finding in findings[:TOLD]]
    if len(findings) > TOLD:
        lines.append(f"  … and {len(findings) - TOLD} more; --json tells all.")
    return "\n".join(lines)


def _line(finding: Finding) -> str:
    return finding.sentence if finding.score is None else f"{finding.sentence} Scored {finding.score:.2f}."


def _entry(finding: Finding) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "check": finding.check.name,
        "severity": finding.check.severity,
        "sentence": finding.sentence,
        "cure": finding.check.cure,
        "names": list(finding.names),
        "labels": list(finding.labels),
    }
    if finding.suggested is not None:
        entry |= {"suggested": finding.suggested, "score": finding.score}
    return entry
