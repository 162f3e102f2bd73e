"""A photo made small: its pixels, and nothing else of what its file may tell."""

from __future__ import annotations

import io

from PIL import Image

from proxy.header import read_header
from scenery import contract

LONGEST_SIDE = 400
"""In pixels: enough for the network, which sees 224, and for a person to label it."""

MAX_PIXELS = 25_000_000
"""Of a larger photo nothing is kept: the proxy would need 100 MB and more to unpack it."""

_QUALITY = 85


def made_small(photo: bytes) -> bytes:
    """Return a photo as a small JPEG, its pixels as the model saw them, without any of its file's other data.

    Raises
    ------
    ValueError, OSError
        If it has more than :data:`MAX_PIXELS`, or cannot be decoded.
    """
    header = read_header(photo)
    if header is None or header.width * header.height > MAX_PIXELS:
        raise ValueError(f"It is not kept for what its header says: {header}")
    with Image.open(io.BytesIO(photo), formats=contract.PHOTO_FORMATS) as image:
        image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))  # a JPEG is decoded no larger than needed
        small = image.convert("RGB")
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    small.info.clear()  # EXIF, GPS, colour profile, comments
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
