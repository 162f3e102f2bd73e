"""What is left to do in a task: photos that nobody has labelled, and labels that contradict one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from scenery.errors import DataError
from training.annotate.labelme import Annotation, annotation_path
from training.annotate.table import Disagreement, Flags, Table
from training.annotate.task import Task, Watch

Kind = Literal["table", "unknown-label", "missing-label", "no-photo", "unreadable", "same-photo"]

_SHOWN = 10
"""Names in a sentence, and conflicts of a kind, before the rest is only counted."""


@dataclass(frozen=True)
class Conflict:
    """Something that a person has to settle."""

    kind: Kind
    name: str
    """The photo, or the file."""
    detail: str


@dataclass(frozen=True)
class Report:
    """How far a task is."""

    photos: int
    unlabelled: list[str]
    """Photos that nobody has confirmed; a model's guess does not count."""
    positives: dict[str, int]
    """Photos that have a label, by label."""
    conflicts: list[Conflict]

    @property
    def is_clean(self) -> bool:
        """Whether every photo is labelled and nothing conflicts."""
        return not self.unlabelled and not self.conflicts

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {"labelled": self.photos - len(self.unlabelled)} | asdict(self)

    def as_text(self) -> str:
        """Return the report for people: counts, a line a label, a line a conflict."""
        labelled = self.photos - len(self.unlabelled)
        width = max(map(len, self.positives))
        lines = [f"{self.photos} photos, {labelled} labelled, {len(self.unlabelled)} unlabelled", ""]
        lines += [f"  {label:{width}}  {count:6}" for label, count in self.positives.items()]
        if self.unlabelled:
            lines += ["", f"Unlabelled: {_some(self.unlabelled)}"]
        if self.conflicts:
            lines += ["", f"{len(self.conflicts)} to settle:", *_some_of_each_kind(self.conflicts)]
        return "\n".join(lines)


def make_report(
    task: Task,
    table: Table,
    annotations: Mapping[str, Annotation],
    troubles: Mapping[str, str],
    disagreements: Iterable[Disagreement],
    twins: Iterable[tuple[str, str]],
) -> Report:
    """Judge a task.

    Parameters
    ----------
    table
        The table after the photos' files went into it.
    troubles
        Why a photo's file, or the photo, cannot be read, by name.
    twins
        Pairs of photos that look the same.
    """
    names = task.names()
    flags = {name: table.flags(name, task.labels) for name in names}
    return Report(
        len(names),
        [name for name in names if len(flags[name]) < len(task.labels)],
        {label: sum(each.get(label, False) for each in flags.values()) for label in task.labels},
        [
            *(Conflict("unreadable", name, trouble) for name, trouble in troubles.items()),
            *(_of_disagreement(task, each) for each in disagreements),
            *_of_flags(task, annotations),
            *_without_photo(task, table, names),
            *_of_twins(flags, twins),
        ],
    )


def find_twins(task: Task, names: list[str], watch: Watch) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Find photos that look the same; returns pairs of names, and by name why a photo cannot be read."""
    import numpy as np

    from training.fingerprint import fingerprint, near_pairs

    prints: dict[str, int] = {}
    troubles: dict[str, str] = {}
    with watch(names) as watched:
        for name in watched:
            try:
                prints[name] = fingerprint(task.photo(name))
            except DataError as error:
                troubles[name] = str(error)
    seen = list(prints)
    pairs = near_pairs(np.array(list(prints.values()), np.uint64))
    return [(seen[one], seen[other]) for one, other in pairs], troubles


def _of_disagreement(task: Task, found: Disagreement) -> Conflict:
    table, file = task.csv_path.name, annotation_path(task.photo(found.name)).name
    there, here = int(found.in_table), int(not found.in_table)
    return Conflict("table", found.name, f"{found.label} is {there} in {table}, which is newer, and {here} in {file}")


def _of_flags(task: Task, annotations: Mapping[str, Annotation]) -> Iterator[Conflict]:
    for name, annotation in annotations.items():
        file = annotation_path(task.photo(name)).name
        unknown = [flag for flag in annotation.flags if flag not in task.labels]
        missing = [label for label in task.labels if label not in annotation.flags]
        if unknown:
            yield Conflict("unknown-label", name, f"{file} has {', '.join(unknown)}, which the task does not have")
        if missing and annotation.confirmed:
            yield Conflict("missing-label", name, f"{file} lacks {', '.join(missing)}")


def _without_photo(task: Task, table: Table, names: list[str]) -> Iterator[Conflict]:
    for file in task.orphans():
        yield Conflict("no-photo", file, "no photo has this name")
    for name in sorted(table.rows.keys() - set(names)):
        yield Conflict("no-photo", name, f"{task.csv_path.name} names it, and there is no such photo")


def _of_twins(flags: Mapping[str, Flags], twins: Iterable[tuple[str, str]]) -> Iterator[Conflict]:
    for one, other in twins:
        differing = [
            label for label, flag in flags[one].items() if label in flags[other] and flags[other][label] != flag
        ]
        if differing:
            yield Conflict("same-photo", one, f"looks like {other}, and differs in {', '.join(differing)}")


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _some_of_each_kind(conflicts: list[Conflict]) -> Iterator[str]:
    by_kind: dict[Kind, list[Conflict]] = {}
    for conflict in conflicts:
        by_kind.setdefault(conflict.kind, []).append(conflict)
    for kind, found in by_kind.items():
        yield from (f"  {kind:13}  {each.name}: {each.detail}" for each in found[:_SHOWN])
        if len(found) > _SHOWN:
            yield f"  {kind:13}  … and {len(found) - _SHOWN} more: --json lists them all"
