"""Photos that look the same, though their bytes differ: perceptual hashes, and their distance."""

from __future__ import annotations

from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from scenery.errors import DataError

BITS = 64

NEAR_BITS = 6
"""Two photos whose fingerprints differ by no more bits are taken for the same one, saved or cut anew."""


def fingerprint(path: Path) -> int:
    """Return the perceptual hash of a photo: 64 bits, of its lowest frequencies (pHash, Zauner 2010).

    Raises
    ------
    DataError
        If the photo cannot be read or decoded.
    """
    try:
        with Image.open(path) as image:
            image.draft("RGB", (256, 256))  # a JPEG is decoded no larger than needed
            return int(str(imagehash.phash(image.convert("RGB"))), 16)
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as a photo: {error}") from error


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
