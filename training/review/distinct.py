"""Which photos show something that is not there already, by their fingerprints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scenery.errors import DataError
from training.fingerprint import Looks, fingerprint


@dataclass(frozen=True)
class Sorted:
    """Photos, by what they bring; each is in one list, but those that are gone meanwhile."""

    distinct: list[Path] = field(default_factory=list)
    twins: list[Path] = field(default_factory=list)
    """They look like one that came before, or like one that is known."""
    unreadable: Mapping[Path, str] = field(default_factory=dict)
    """Why a photo has no fingerprint."""


def sort_out(photos: Iterable[Path], known: Iterable[int]) -> Sorted:
    """Sort photos by whether they look like any of ``known`` fingerprints, or of those that come before them."""
    looks = Looks(known)
    distinct, twins, unreadable = [], [], {}
    for photo in photos:
        try:
            one = fingerprint(photo)
        except DataError as error:
            if photo.exists():
                unreadable[photo] = str(error)
            continue
        if looks.like(one) is not None:
            twins.append(photo)
        else:
            distinct.append(photo)
            looks.add(one)
    return Sorted(distinct, twins, unreadable)
