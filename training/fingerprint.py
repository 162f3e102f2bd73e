"""Photos that look the same, though their bytes differ: perceptual hashes, and their distance."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt

from training.photo_file import opened

BITS = 64

NEAR_BITS = 6
"""Two photos whose fingerprints differ by no more bits are taken for the same one, saved or cut anew."""


def fingerprint(path: Path) -> int:
    """Return the perceptual hash of a photo: 64 bits, of its lowest frequencies (pHash, Zauner 2010).

    Raises
    ------
    UnreadablePhotoError
        If the photo cannot be read or decoded.
    """
    with opened(path) as image:
        image.draft("RGB", (256, 256))  # a JPEG is decoded no larger than needed
        return int(str(imagehash.phash(image.convert("RGB"))), 16)


class Looks:
    """Fingerprints that grow in number, to find those that another one resembles."""

    def __init__(self, known: Iterable[int] = ()) -> None:
        """Begin with some fingerprints."""
        self._known = np.fromiter(known, np.uint64)
        self._count = len(self._known)

    def add(self, one: int) -> None:
        """Add a fingerprint; its place is how many there were before."""
        if self._count == len(self._known):
            self._known = np.concatenate([self._known, np.zeros(max(64, self._count), np.uint64)])
        self._known[self._count] = one
        self._count += 1

    def like(self, one: int) -> int | None:
        """Return the place of the fingerprint that is nearest, if that is near enough to be the same photo."""
        apart = distances(one, self._known[: self._count])
        place = int(apart.argmin()) if self._count else None
        return place if place is not None and apart[place] <= NEAR_BITS else None


def distances(one: int, others: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Count the bits in which ``one`` differs from each of ``others``: uint64 [n] → uint8 [n]."""
    counts: npt.NDArray[np.uint8] = np.bitwise_count(others ^ np.uint64(one))
    return counts


def near_pairs(fingerprints: npt.NDArray[np.uint64], bits: int = NEAR_BITS) -> list[tuple[int, int]]:
    """Return the places of all pairs that differ by at most ``bits``, the smaller place first."""
    pairs: list[tuple[int, int]] = []
    for place, one in enumerate(fingerprints):
        near = np.flatnonzero(distances(int(one), fingerprints[place + 1 :]) <= bits)
        pairs += [(place, place + 1 + int(other)) for other in near]
    return pairs
