"""Photos that are there more than once, and what that does to labels and to a split."""

from __future__ import annotations

import pandas as pd

from training.checks.finding import Check, Finding
from training.checks.photos import Photos
from training.config import PART_COL, DataConfig

SAME_PHOTO = Check("same-photo", "warning", "Keep one of them.")
SAME_PHOTO_OTHER_LABELS = Check(
    "same-photo-other-labels", "error", "Decide which labels are right and keep one of the photos."
)
NEAR_PHOTO = Check("near-photo", "warning", "Look at both: keep one if they are the same picture, cut or saved anew.")
NEAR_PHOTO_OTHER_LABELS = Check(
    "near-photo-other-labels", "warning", "Look at both: if they show the same, their labels should agree."
)
LEAK = Check(
    "leak", "error", "Remove one of them, or give both the same value in the group column, which keeps them together."
)
NEAR_LEAK = Check(
    "near-leak",
    "warning",
    "Look at both: if they show the same, remove one, or give both the same value in the group column.",
)


def check_duplicates(table: pd.DataFrame, config: DataConfig, photos: Photos) -> list[Finding]:
    """Find photos of the same bytes, and photos that look the same, and compare their labels."""
    labels = _by_name(table, config, config.targets)
    findings = []
    for one, other in photos.pairs:
        differing = list(labels.columns[labels.loc[one].ne(labels.loc[other])])
        check, manner = _judge(photos[one].digest == photos[other].digest, alike=not differing)
        contrast = f", but differ in {', '.join(differing)}" if differing else ""
        findings.append(check.found(f"{one} and {other} {manner}{contrast}.", [one, other], differing))
    return findings


def _judge(same_bytes: bool, alike: bool) -> tuple[Check, str]:
    if same_bytes:
        return SAME_PHOTO if alike else SAME_PHOTO_OTHER_LABELS, "are the same file"
    return NEAR_PHOTO if alike else NEAR_PHOTO_OTHER_LABELS, "look the same"


def check_leaks(table: pd.DataFrame, config: DataConfig, photos: Photos) -> list[Finding]:
    """Find photos that are on two sides of a split: ``table`` has the column ``part``.

    A figure measured on a photo that the network has learned by heart says nothing. Photos that only look the same
    are a warning: among very many there are always some, by chance.
    """
    parts: dict[str, str] = {}
    findings = []
    for name, of_name in table.groupby(config.image_name_col, sort=False)[PART_COL].unique().items():
        parts[str(name)] = " and ".join(of_name)
        if len(of_name) > 1:
            findings.append(LEAK.found(f"{name} stands in several lines, in {parts[str(name)]}.", [str(name)]))
    for one, other in photos.pairs:
        if parts[one] != parts[other]:
            same_bytes = photos[one].digest == photos[other].digest
            check, manner = (LEAK, "are the same photo") if same_bytes else (NEAR_LEAK, "look the same")
            findings.append(check.found(f"{one} ({parts[one]}) and {other} ({parts[other]}) {manner}.", [one, other]))
    return findings


def _by_name(table: pd.DataFrame, config: DataConfig, columns: list[str]) -> pd.DataFrame:
    """Return the columns of each photo; of a photo that stands twice, those of its first line."""
    first: pd.DataFrame = table.drop_duplicates(config.image_name_col).set_index(config.image_name_col)[columns]
    return first
