"""From scores to labels: pure functions over what a model says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Description:
    """What a version's ``describe`` signature answers: names of its scores, and where each is cut."""

    labels: tuple[str, ...]
    thresholds: tuple[float, ...]


@dataclass(frozen=True)
class Labelling:
    """The scores of one photo, by label."""

    scores: dict[str, float]
    """Score of every label, in [0, 1], six decimals."""
    labels: list[str]
    """The labels whose score reaches their threshold, the surest first."""
    top_index: int
    top_label: str


def label_scores(description: Description, scores: Sequence[float]) -> Labelling:
    """Name ``scores``, one a label, in the description's order.

    Raises
    ------
    ValueError
        If there are more or fewer scores than labels.
    """
    named = {label: round(score, 6) for label, score in zip(description.labels, scores, strict=True)}
    thresholds = dict(zip(description.labels, description.thresholds, strict=True))
    given = [label for label, score in named.items() if score >= thresholds[label]]
    top_index = max(range(len(scores)), key=scores.__getitem__)
    return Labelling(
        scores=named,
        labels=sorted(given, key=named.__getitem__, reverse=True),
        top_index=top_index,
        top_label=description.labels[top_index],
    )
