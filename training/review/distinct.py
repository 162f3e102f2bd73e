"""Which photos show something that is not there already, by their fingerprints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scenery.errors import DataError
from training.fingerprint import NEAR_BITS, distances, fingerprint


@dataclass(frozen=True)
class Sorted:
    """Photos, by what they bring; each is in one list."""

    distinct: list[Path] = field(default_factory=list)
    twins: list[Path] = field(default_factory=list)
    """They look like one that came before, or like one that is known."""
    unreadable: Mapping[Path, str] = field(default_factory=dict)
    """Why a photo has no fingerprint."""


def sort_out(photos: Iterable[Path], known: Iterable[int]) -> Sorted:
    """Sort photos by whether they look like any of ``known`` fingerprints, or of those that come before them."""
    fingerprints = list(known)
    distinct, twins, unreadable = [], [], {}
    for photo in photos:
        try:
            one = fingerprint(photo)
        except DataError as error:
            unreadable[photo] = str(error)
            continue
        if (distances(one, np.array(fingerprints, np.uint64)) <= NEAR_BITS).any():
            twins.append(photo)
        else:
            distinct.append(photo)
            fingerprints.append(one)
    return Sorted(distinct, twins, unreadable)
