"""How often a served version is right, told from photos that chance drew and people labelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from training import wilson
from training.annotate.table import read_table
from training.annotate.task import Task
from training.review.served import read_served
from training.review.task import SAMPLED

Flags = Mapping[str, bool]


@dataclass(frozen=True)
class Share:
    """How many of some photos are right, and between what the share of all photos lies in 95 of 100 such samples."""

    right: int
    photos: int

    @property
    def value(self) -> float:
        """The share, in [0, 1]."""
        return self.right / self.photos

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval: see :mod:`training.wilson`."""
        return wilson.interval(self.right, self.photos)


@dataclass(frozen=True)
class Estimate:
    """A version's accuracy on the photos that people send."""

    version: str
    exact: Share
    """Photos of which every label is right."""
    labels: dict[str, Share]


def estimate(version: str, photos: Iterable[tuple[Flags, Flags]]) -> Estimate:
    """Compare what a version gave with what people say.

    Parameters
    ----------
    photos
        At least one: the labels that the version gave, and what a person says of the same labels; all of the same.
    """
    agreements = [{label: given[label] == said[label] for label in said} for given, said in photos]
    count = len(agreements)
    return Estimate(
        version,
        Share(sum(all(each.values()) for each in agreements), count),
        {label: Share(sum(each[label] for each in agreements), count) for label in agreements[0]},
    )


def by_version(task: Task) -> tuple[list[Estimate], int]:
    """Estimate each version that answered photos of a task which chance drew and a person labelled.

    Returns
    -------
    The estimates, and how many drawn photos nobody has labelled yet: the easy ones first would flatter the version.

    Raises
    ------
    DataError
        If the task's table, or what was served, cannot be read.
    """
    rows, served = read_table(task).rows, read_served(task.folder)
    drawn = [name for name in served if rows.get(name, {}).get(SAMPLED) == "uniform"]
    annotations, _ = task.annotations()
    labelled: dict[int, list[tuple[Flags, Flags]]] = {}
    for name in drawn:
        answer, said = served[name], annotations.get(name)
        given = {label: label in answer.labels for label in task.labels if label in answer.scores}
        if said and said.confirmed and given and said.flags.keys() >= given.keys():
            labelled.setdefault(answer.version, []).append((given, {label: said.flags[label] for label in given}))
    unlabelled = len(drawn) - sum(map(len, labelled.values()))
    return [estimate(str(version), photos) for version, photos in sorted(labelled.items())], unlabelled


def as_text(told: Estimate) -> str:
    """Return a table to read."""
    head = f"Version {told.version}, on {told.exact.photos} photos that chance drew:"
    rows = [_row("all labels", told.exact), *(_row(label, share) for label, share in told.labels.items())]
    return "\n".join([head, f"{'right':14}{'share':>7}   95 % interval", *rows])


def as_json(told: Estimate) -> dict[str, object]:
    """Return the same for programs."""
    shares = {"all labels": told.exact} | told.labels
    return {
        "version": told.version,
        "photos": told.exact.photos,
        "right": {name: {"share": share.value, "interval": share.interval} for name, share in shares.items()},
    }


def _row(name: str, share: Share) -> str:
    low, high = share.interval
    return f"{name:14}{share.value:>7.3f}   {low:.3f} to {high:.3f}"
