"""From scores to labels: pure functions over what a model says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal

Source = Literal["model", "setting", "index"]

THRESHOLD: Final = 0.5
"""Where scores are cut by default if the model does not say: as likely as not."""


@dataclass(frozen=True)
class Description:
    """The names of a version's scores, and where each is cut."""

    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    source: Source = "model"
    """Who named the labels: the version's ``describe`` signature, the proxy's setting, or nobody."""

    @cached_property
    def thresholds_by_label(self) -> dict[str, float]:
        """Where the score of each label is cut; nobody changes it."""
        return dict(zip(self.labels, self.thresholds, strict=True))


@dataclass(frozen=True)
class Labelling:
    """The scores of one photo, by label."""

    scores: dict[str, float]
    """Score of every label, in [0, 1], six decimals."""
    labels: list[str]
    """The labels whose score reaches their threshold, the surest first."""
    top_index: int
    top_label: str
    thresholds: dict[str, float]
    """Where the score of each label is cut, in [0, 1]; empty where the proxy that answered does not tell."""
    source: Source = "model"


def describe_unnamed(count: int, labels: Sequence[str]) -> Description:
    """Describe a version that does not describe itself: by ``labels`` if there are ``count``, else by index."""
    if len(labels) == count:
        return Description(tuple(labels), (THRESHOLD,) * count, "setting")
    return Description(tuple(map(str, range(count))), (THRESHOLD,) * count, "index")


def label_scores(description: Description, scores: Sequence[float]) -> Labelling:
    """Name ``scores``, one a label, in the description's order.

    Raises
    ------
    ValueError
        If there are more or fewer scores than labels.
    """
    named = {label: round(score, 6) for label, score in zip(description.labels, scores, strict=True)}
    thresholds = description.thresholds_by_label
    top_index = max(range(len(scores)), key=scores.__getitem__)
    return Labelling(
        scores=named,
        labels=[label for label in _surest_first(named) if named[label] >= thresholds[label]],
        top_index=top_index,
        top_label=description.labels[top_index],
        thresholds=thresholds,
        source=description.source,
    )


def narrow(labelling: Labelling, threshold: float | None, top: int | None) -> Labelling:
    """Return what of a labelling was asked for.

    Parameters
    ----------
    threshold
        Cuts every score here instead of at its label's own threshold, in [0, 1].
    top
        Keeps the so many highest scores only, the surest first.
    """
    if threshold is None and top is None:
        return labelling
    scores, labels = labelling.scores, labelling.labels
    if threshold is not None:
        labels = [label for label in _surest_first(scores) if scores[label] >= threshold]
    if top is not None:
        scores = {label: scores[label] for label in _surest_first(scores)[:top]}
        labels = [label for label in labels if label in scores]
    return replace(labelling, scores=scores, labels=labels)


def _surest_first(scores: dict[str, float]) -> list[str]:
    return sorted(scores, key=scores.__getitem__, reverse=True)
