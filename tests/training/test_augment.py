"""The augmentation recipe."""

from __future__ import annotations

import numpy as np

from training.augment import augment

IMAGES = np.random.default_rng(1).integers(0, 255, (12, 32, 32, 3), dtype=np.uint8)


def test_the_seed_decides():
    """The same seed changes photos alike, another one otherwise; the originals stay."""
    before = IMAGES.copy()
    first, again, other = (augment(IMAGES, seed, probability=1.0) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(IMAGES, before)


def test_shape_and_type_stay():
    """What comes out can be fed like what went in."""
    changed = augment(IMAGES, 1, probability=1.0)
    assert (changed.shape, changed.dtype) == (IMAGES.shape, np.uint8)


def test_the_probability_is_obeyed():
    """Nothing changes at 0; at the tutorial's 0.1 many photos stay as they were, at 1 none does."""

    def changed(probability: float) -> int:
        return int(
            (augment(np.concatenate([IMAGES] * 10), 1, probability) != np.concatenate([IMAGES] * 10))
            .any((1, 2, 3))
            .sum()
        )

    assert changed(0) == 0
    assert 30 < changed(0.1) < 110
    assert changed(1) == 120
