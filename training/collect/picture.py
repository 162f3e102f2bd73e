"""The file of a photo: checked, upright, no larger than wanted, in a format that the model decodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageOps

from scenery.errors import DataError
from training.photo_file import UnreadablePhotoError, opened

LEAST_PIXELS: Final = 32
"""A side shorter than this belongs to an icon or a counter, not to a photo."""

_KEPT: Final = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
"""Formats that stay as they are, with the suffixes of their files."""
_READ: Final = (*_KEPT, "BMP", "GIF", "TIFF")
_MODES: Final = ("RGB", "L", "RGBA", "LA", "P", "1")
_HARMLESS: Final = frozenset({
    "jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "adobe", "adobe_transform", "progressive",
    "progression", "icc_profile", "gamma", "srgb", "chromaticity", "aspect", "interlace", "transparency", "background",
    "loop", "duration", "timestamp",
})  # fmt: skip
"""What Pillow may tell of a file that tells nothing of where, when and by whom the photo was taken."""
_HARMLESS_SEGMENTS: Final = frozenset({"APP0", "APP2", "APP14"})
"""JFIF, the colour profile, and Adobe's: the rest of a JPEG's may hold anything."""
_QUALITY = 90


@dataclass(frozen=True)
class Picture:
    """What a checked file is."""

    suffix: str
    width: int
    """In pixels, as is the height."""
    height: int


def settle(path: Path, side_pixels: int) -> Picture:
    """Check that a file is a whole photo, and write it anew, as a JPEG, where that is needed.

    That is where its longest side is more than ``side_pixels``, where its format is neither JPEG, PNG nor WebP, where
    it is animated (the first picture stays), and where anything lies in it that does not concern its pixels, such as
    EXIF, XMP, IPTC or a comment: they tell where the photo was taken, and how it must be turned. It is turned, and they
    are left out.

    Raises
    ------
    DataError
        If it is no photo, damaged, too small, or has more pixels than a model decodes.
    OSError
        If it cannot be written.
    """
    try:
        with opened(path, _READ) as image:
            _check_size(image)
            suffix = _KEPT.get(image.format or "")
            if suffix and not _is_large_or_odd(image, side_pixels):
                image.load()  # a PNG's texts may lie behind its pixels
                if not _tells_more(image):
                    return Picture(suffix, *image.size)
            upright = _upright(image, side_pixels)
    except UnreadablePhotoError as error:
        raise DataError(f"It is no photo that can be read: {error.reason}.") from error
    upright.info.clear()  # or Pillow writes what it knows of it
    upright.save(path, "JPEG", quality=_QUALITY)
    return Picture(_KEPT["JPEG"], *upright.size)


def _check_size(image: Image.Image) -> None:
    """Judge by the header, before anything is decoded."""
    if min(image.size) < LEAST_PIXELS:
        raise DataError(f"It is {image.width} by {image.height} pixels: too small for a photo.")


def _is_large_or_odd(image: Image.Image, side_pixels: int) -> bool:
    is_animated = getattr(image, "is_animated", False)
    return max(image.size) > side_pixels or image.mode not in _MODES or is_animated


def _tells_more(image: Image.Image) -> bool:
    """Tell whether a file that was decoded holds more than pixels."""
    segments = {name for name, _ in getattr(image, "applist", ())}
    return not image.info.keys() <= _HARMLESS or not segments <= _HARMLESS_SEGMENTS


def _upright(image: Image.Image, side_pixels: int) -> Image.Image:
    image.draft("RGB", (side_pixels, side_pixels))  # a JPEG is decoded no larger than needed
    upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((side_pixels, side_pixels), Image.Resampling.LANCZOS)
    return upright
