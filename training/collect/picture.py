"""The file of a photo: checked, upright, no larger than wanted, in a format that the model decodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageOps

from scenery import contract
from scenery.errors import DataError

LEAST_PIXELS: Final = 32
"""A side shorter than this belongs to an icon or a counter, not to a photo."""

_KEPT: Final = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
"""Formats that stay as they are, with the suffixes of their files."""
_READ: Final = (*_KEPT, "BMP", "GIF", "TIFF")
"""Others of Pillow's decoders run programs, or are seldom looked at. JPEG's reads what several lenses took, too."""
_MODES: Final = ("RGB", "L", "RGBA", "LA", "P", "1")
_METADATA: Final = ("exif", "xmp", "XML:com.adobe.xmp", "photoshop")
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

    That is where its longest side is more than ``side_pixels``, where EXIF, XMP or IPTC lies in it (which tell where
    the photo was taken, and how it must be turned; it is turned, and they are left out), and where its format
    is neither JPEG, PNG nor WebP.

    Raises
    ------
    DataError
        If it is no photo, damaged, too small, or has more pixels than a model decodes.
    OSError
        If it cannot be written.
    """
    try:
        with Image.open(path, formats=_READ) as image:
            _check_size(image)
            suffix = _KEPT.get(image.format or "")
            if suffix and not _needs_writing(image, side_pixels):
                image.load()
                return Picture(suffix, *image.size)
            upright = _upright(image, side_pixels)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"It is no photo that can be read: {_without_path(error, path)}") from error
    upright.save(path, "JPEG", quality=_QUALITY)
    return Picture(_KEPT["JPEG"], *upright.size)


def _check_size(image: Image.Image) -> None:
    """Judge by the header, before anything is decoded."""
    if image.width * image.height > contract.MAX_PIXELS:
        raise DataError(f"It is {image.width} by {image.height} pixels, more than {contract.MAX_PIXELS:,} in all.")
    if min(image.size) < LEAST_PIXELS:
        raise DataError(f"It is {image.width} by {image.height} pixels: too small for a photo.")


def _needs_writing(image: Image.Image, side_pixels: int) -> bool:
    tells_more = any(key in image.info for key in _METADATA)
    return max(image.size) > side_pixels or tells_more or image.mode not in _MODES


def _upright(image: Image.Image, side_pixels: int) -> Image.Image:
    image.draft("RGB", (side_pixels, side_pixels))  # a JPEG is decoded no larger than needed
    upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((side_pixels, side_pixels), Image.Resampling.LANCZOS)
    return upright


def _without_path(error: BaseException, path: Path) -> str:
    return str(error).replace(repr(str(path)), "this file").replace(str(path), "this file")
