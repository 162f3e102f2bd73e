"""The label columns: whether there is enough in them to learn from and to judge by."""

from __future__ import annotations

from itertools import combinations

import pandas as pd

from training.checks.finding import Check, Finding
from training.config import PART_COL, DataConfig
from training.dataset import PARTS, Part

ONE_VALUE = Check("one-value", "error", "Bring photos of the other kind, or take the label out of targets.")
FEW_POSITIVES = Check("few-positives", "warning", "Bring more photos of it.")
FEW_TO_JUDGE_BY = Check(
    "few-to-judge-by", "warning", "Bring more photos of it, from more sources: figures from so few are chance."
)
SAME_COLUMN = Check("same-column", "warning", "See whether one column was copied into the other.")

MIN_POSITIVES = 20
"""A label with fewer photos is hardly learned."""

MIN_HELD_OUT_POSITIVES = 5
"""With fewer photos in a held-out part, one photo moves the label's recall by over 20 %."""

_HELD_OUT: tuple[Part, ...] = PARTS[1:]


def check_labels(table: pd.DataFrame, config: DataConfig) -> list[Finding]:
    """Find labels that all photos have, or none, or few, and labels that cannot be told apart."""
    findings = []
    for label in config.targets:
        positives = int(table[label].sum())
        if positives in (0, len(table)):
            findings.append(ONE_VALUE.found(f"{label} is {table[label].iloc[0]} for every photo.", labels=[label]))
        elif positives < MIN_POSITIVES:
            findings.append(FEW_POSITIVES.found(f"{label} has {_photos(positives)}.", labels=[label]))
    for one, other in combinations(config.targets, 2):
        if (table[one] == table[other]).all():
            findings.append(SAME_COLUMN.found(f"{one} and {other} are the same for every photo.", labels=[one, other]))
    return findings


def check_parts(table: pd.DataFrame, config: DataConfig) -> list[Finding]:
    """Find labels that validation or test lacks: ``table`` has the column ``part``."""
    return [
        FEW_TO_JUDGE_BY.found(f"{label} has {_photos(positives)} in {part}.", labels=[label])
        for part in _HELD_OUT
        for label, positives in table.loc[table[PART_COL] == part, config.targets].sum().items()
        if positives < MIN_HELD_OUT_POSITIVES
    ]


def _photos(count: int) -> str:
    return f"{count} photo" if count == 1 else f"{count} photos"
