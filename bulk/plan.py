"""What a run has to do: which photos, in which parts. Settled before a worker starts, so that none decides anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bulk.output import Output
from bulk.part import Photos, key_of, written


@dataclass(frozen=True)
class Plan:
    """The parts to score, and how many of the photos that were found are in none."""

    parts: tuple[Photos, ...]
    scored_before: int
    failed_before: int
    """Refused earlier for their own sake; they stay in the dead letters."""
    finished_before: frozenset[str]
    """Keys of the parts that stay as they are."""

    @property
    def photos(self) -> int:
        """How many photos are to be scored."""
        return sum(map(len, self.parts))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The number of photos of each part, by its key."""
        return {key_of(part): len(part) for part in self.parts}


def make_plan(found: Sequence[str], output: Output, part_photos: int, retry_failed: bool) -> Plan:
    """Leave out what is finished, and cut the rest into parts.

    Photos that failed for the machine's sake, or with ``retry_failed`` any, are tried once more and taken out
    of the dead letters.
    """
    finished = output.scored()
    letters = output.failures()
    scored = {name for names in finished.values() for name in names}
    failures = {each.photo: each for failures in letters.values() for each in failures}
    names = {path: written(path) for path in found}
    refused = {name for name, each in failures.items() if each.is_final and not retry_failed}
    todo = [path for path, name in names.items() if name not in scored and name not in refused]
    plan = Plan(
        tuple(todo[start : start + part_photos] for start in range(0, len(todo), part_photos)),
        scored_before=sum(name in scored for name in names.values()),
        failed_before=sum(name in refused for name in names.values()),
        finished_before=frozenset(finished),
    )
    output.forget(letters, {names[path] for path in todo} & failures.keys())
    output.remove(plan.sizes.keys() & finished)  # has no scores, or it would not be planned
    return plan


def as_lines(parts: Iterable[Photos]) -> bytes:
    """Return parts as JSON, one a line; ASCII, whatever the names are made of."""
    return "".join(f"{json.dumps(part)}\n" for part in parts).encode()


def part_of(line: str) -> list[bytes]:
    """Return the part of a line, its names as bytes: Beam's coders take no text with bytes that are none."""
    return [os.fsencode(path) for path in json.loads(line)]
