"""The photos themselves: there, readable by the graph that serves, and large enough."""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click
import numpy as np
from PIL import Image

from scenery import contract
from training.checks.finding import Check, Finding
from training.fingerprint import fingerprint, near_pairs
from training.photo_file import UnreadablePhotoError, opened

MISSING = Check("missing-photo", "error", "Correct images_base_path or the table, or bring the photo.")
UNREADABLE = Check("unreadable-photo", "error", "Save it anew as JPEG, PNG, WebP, BMP or GIF, or remove its line.")
TINY = Check("tiny-photo", "warning", "Bring a larger copy: enlarged, it shows the network little.")

TINY_PIXELS = 64
"""A photo whose shorter side has fewer pixels is tiny."""

_MIN_BMP_BITS = 24


@dataclass(frozen=True)
class Photo:
    """What the checks know of a photo that can be read."""

    width: int
    height: int
    digest: str
    """SHA-256 of its bytes, in hex."""
    fingerprint: int
    """See :mod:`training.fingerprint`."""


class Photos(dict[str, Photo]):
    """Photos by name, and which of them look the same."""

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """The names of photos that are the same, or look it; each pair once."""
        names = list(self)
        fingerprints = np.array([photo.fingerprint for photo in self.values()], np.uint64)
        return [(names[one], names[other]) for one, other in near_pairs(fingerprints)]


def check_photos(folder: Path, names: list[str], tiny_pixels: int) -> tuple[Photos, list[Finding]]:
    """Look at all photos, several at a time, and say which of them cannot be used.

    Returns
    -------
    The photos that can be read, by name, and what was found.
    """
    photos = Photos()
    findings: list[Finding] = []
    with (
        _no_bombs(),
        ThreadPoolExecutor(os.cpu_count()) as pool,
        click.progressbar(
            pool.map(lambda name: _examine(folder, name), names), length=len(names), label="checking photos",
            file=sys.stderr, hidden=not sys.stderr.isatty(),
        ) as examined,
    ):  # fmt: skip
        for name, result in zip(names, examined, strict=True):
            if isinstance(result, Finding):
                findings.append(result)
                continue
            photos[name] = result
            if min(result.width, result.height) < tiny_pixels:
                findings.append(TINY.found(f"{name} has only {result.width} x {result.height} pixels.", [name]))
    return photos, findings


@contextmanager
def _no_bombs() -> Iterator[None]:
    """Have Pillow refuse what it would warn of: a header that announces too many pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _examine(folder: Path, name: str) -> Photo | Finding:
    path = folder / name
    try:
        if not path.exists():
            return MISSING.found(f"{name} is not in {folder}.", [name])
        data = path.read_bytes()
        width, height = _checked_size(path, data)
        return Photo(width, height, hashlib.sha256(data).hexdigest(), fingerprint(path))
    except UnreadablePhotoError as error:
        return UNREADABLE.found(f"{name} cannot be read: {error.reason}.", [name])
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return UNREADABLE.found(f"{name} cannot be read: {reason}.", [name])


def _checked_size(path: Path, data: bytes) -> tuple[int, int]:
    """Return width and height, from the header alone; raises ``UnreadablePhotoError`` for what the graph refuses."""
    if not data:
        raise UnreadablePhotoError(path, "the file is empty")
    with opened(path, content=data) as image:
        if reason := _refused_kind(image, data):
            raise UnreadablePhotoError(path, reason)
        return image.size


def _refused_kind(image: Image.Image, data: bytes) -> str | None:
    if image.format == "WEBP" and getattr(image, "is_animated", False):
        return "it is an animated WebP"
    if image.format == "BMP" and int.from_bytes(data[28:30], "little") < _MIN_BMP_BITS:
        return f"it is a BMP of fewer than {_MIN_BMP_BITS} bits a pixel"
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > contract.MAX_JPEG_SCANS:
        return "it is a JPEG of too many scans"
    return None
