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
from io import BytesIO
from pathlib import Path

import click
from PIL import Image, UnidentifiedImageError

from scenery import contract
from scenery.errors import DataError
from training.checks.finding import Check, Finding
from training.fingerprint import fingerprint

MISSING = Check("missing-photo", "error", "Correct images_base_path or the table, or bring the photo.")
UNREADABLE = Check("unreadable-photo", "error", "Save it anew as JPEG, PNG, WebP, BMP or GIF, or remove its line.")
TINY = Check("tiny-photo", "warning", "Bring a larger copy: enlarged, it shows the network little.")

TINY_PIXELS = 64
"""A photo whose shorter side has fewer pixels is tiny."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""What :func:`scenery.preprocess.decode` reads, in Pillow's names."""

_MAX_JPEG_SCANS = 32
"""As :mod:`scenery.preprocess` has it."""
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


def check_photos(folder: Path, names: list[str], tiny_pixels: int) -> tuple[dict[str, Photo], list[Finding]]:
    """Look at all photos, several at a time, and say which of them cannot be used.

    Returns
    -------
    The photos that can be read, by name, and what was found.
    """
    photos: dict[str, Photo] = {}
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
        width, height = _checked_size(data)
        return Photo(width, height, hashlib.sha256(data).hexdigest(), _decoded(path))
    except (DataError, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return UNREADABLE.found(f"{name} cannot be read: {reason}.", [name])


def _decoded(path: Path) -> int:
    """Return the fingerprint, which needs all of the photo; raises ``DataError`` with the decoder's own words."""
    try:
        return fingerprint(path)
    except DataError as error:
        raise DataError(str(error.__cause__ or error)) from error


def _checked_size(data: bytes) -> tuple[int, int]:
    """Return width and height, from the header alone; raises ``DataError`` for what the graph refuses."""
    if not data:
        raise DataError("the file is empty")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            _refuse_kinds(image, data)
    except UnidentifiedImageError as error:
        raise DataError("it is no JPEG, PNG, WebP, BMP or GIF, or damaged") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"it has more than {contract.MAX_PIXELS} pixels") from error
    if width * height > contract.MAX_PIXELS:
        raise DataError(f"it has {width} x {height} pixels and at most {contract.MAX_PIXELS} are read")
    return width, height


def _refuse_kinds(image: Image.Image, data: bytes) -> None:
    if image.format == "WEBP" and getattr(image, "is_animated", False):
        raise DataError("it is an animated WebP")
    if image.format == "BMP" and int.from_bytes(data[28:30], "little") < _MIN_BMP_BITS:
        raise DataError(f"it is a BMP of fewer than {_MIN_BMP_BITS} bits a pixel")
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > _MAX_JPEG_SCANS:
        raise DataError("it is a JPEG of too many scans")
