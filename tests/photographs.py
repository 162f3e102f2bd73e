"""Encoded photos of every kind that a service meets, good and bad."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode an image as ``kind``."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def bombs() -> dict[str, bytes]:
    """Photos of a few kilobytes that would unpack to hundreds of megabytes."""
    return {
        "png": encode(Image.new("RGB", (10000, 10000)), "PNG"),
        "jpeg": encode(Image.new("RGB", (9000, 9000)), "JPEG"),
        "gif": encode(Image.new("P", (10000, 10000)), "GIF"),
        "webp": encode(Image.new("RGB", (10000, 10000)), "WEBP", lossless=True),
        "bmp": b"BM" + bytes(16) + (10000).to_bytes(4, "little") * 2 + b"\1\0\x18\0" + bytes(50),
        "gif whose frame is larger than its screen": _gif_with_large_frame(),
    }


def slow_photos() -> dict[str, bytes]:
    """Photos of a few hundred kilobytes that would keep a decoder busy for seconds, or hours."""
    jpeg = encode(Image.new("RGB", (2000, 2000)), "JPEG", progressive=True)
    scan = jpeg.rindex(b"\xff\xda")
    gif = encode(Image.new("P", (16, 16)), "GIF")
    blocks = gif.index(b"\x2c\0\0\0\0\x10\0\x10\0")
    return {
        "jpeg of many scans": jpeg[:scan] + jpeg[scan:-2] * 100 + b"\xff\xd9",
        "gif of many blocks": gif[:blocks] + b"\x21\xfe" + b"\x01x" * 60_000 + b"\0" + gif[blocks:],
    }


def _gif_with_large_frame() -> bytes:
    gif = bytearray(encode(Image.new("P", (16, 16)), "GIF"))
    frame = gif.rindex(b"\x2c\0\0\0\0\x10\0\x10\0")
    gif[frame + 5 : frame + 9] = (60000).to_bytes(2, "little") * 2
    return bytes(gif)
