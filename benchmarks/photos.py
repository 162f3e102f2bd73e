"""The photos that are sent: a small one, and what cameras make of the same view."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.clients import PHOTO

SMALL = "400 px"
LARGE = "12 MP"
PIXELS = {"2 MP": 2_000_000, LARGE: 12_000_000}
GRAIN = 7.0
"""Standard deviation of the grain, in pixel values: with it a file is as large as a camera's."""
QUALITY = 88


def make_photos(folder: Path) -> dict[str, Path]:
    """Write the larger photos; returns all of them by name.

    They are the small one enlarged, with grain, which is what most bytes of a camera's JPEG are spent on.
    """
    photos = {SMALL: PHOTO}
    with Image.open(PHOTO) as opened:
        view = opened.convert("RGB")
    for name, pixels in PIXELS.items():
        photos[name] = folder / f"{name.replace(' ', '-')}.jpg"
        _grainy(_enlarged(view, pixels)).save(photos[name], quality=QUALITY)
    return photos


def describe(photo: Path) -> str:
    """Return width, height and bytes, for people."""
    with Image.open(photo) as opened:
        width, height = opened.size
    return f"{width} x {height}, {photo.stat().st_size / 1e6:.2g} MB"


def _enlarged(view: Image.Image, pixels: int) -> Image.Image:
    factor = (pixels / (view.width * view.height)) ** 0.5
    return view.resize((round(view.width * factor), round(view.height * factor)), Image.Resampling.BICUBIC)


def _grainy(image: Image.Image) -> Image.Image:
    """Add the same grain to all three colours."""
    grain = np.random.default_rng(0).normal(0, GRAIN, (image.height, image.width, 1)).astype(np.float32)
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))
