"""The photos that contenders are sent."""

from __future__ import annotations

import pytest
from PIL import Image

from benchmarks.photos import PIXELS, make_photos

MEGABYTES = {"2 MP": (0.4, 1.0), "12 MP": (3.0, 5.0)}


def test_the_large_photos_are_as_large_as_a_cameras(tmp_path):
    """They have the pixels that their names say, and the bytes that cameras spend on them."""
    photos = make_photos(tmp_path)
    for name, pixels in PIXELS.items():
        with Image.open(photos[name]) as photo:
            assert photo.width * photo.height == pytest.approx(pixels, rel=0.01)
        lowest, highest = MEGABYTES[name]
        assert lowest <= photos[name].stat().st_size / 1e6 <= highest
