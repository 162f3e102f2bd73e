"""The augmentation recipe."""

from __future__ import annotations

import numpy as np
import pytest

from scenery.errors import ConfigurationError
from scenery.preprocess import GREY
from training.augment import TUTORIAL, augment

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


def test_a_recipe_of_ones_own():
    """Any augmenter of imgaug by its name, with its parameters; a list of two numbers is a range."""
    (left,) = augment(IMAGES[:1], 1, 1.0, [{"Fliplr": {"p": 1.0}}])
    np.testing.assert_array_equal(left, IMAGES[0, :, ::-1])
    darker = augment(IMAGES, 1, 1.0, [{"Multiply": {"mul": [0.4, 0.6]}}]).mean((1, 2, 3)) / IMAGES.mean((1, 2, 3))
    assert (darker > 0.39).all()
    assert (darker < 0.61).all()
    assert np.ptp(darker) > 0.02


def test_what_moves_away_leaves_the_padding():
    """Behind a photo that was made smaller is the grey that is nothing to the network."""
    smaller = augment(IMAGES, 1, 1.0, [{"Affine": {"scale": 0.5}}])
    assert (smaller[:, 0, 0] == GREY).all()


def test_the_tutorials_recipe_is_the_default():
    """Nine gentle changes, if none are named."""
    assert len(TUTORIAL) == 9
    np.testing.assert_array_equal(augment(IMAGES, 1, 1.0), augment(IMAGES, 1, 1.0, TUTORIAL))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Flipr": {}}, "no augmenter `Flipr`. Did you mean `Flip"),
        ({"Affine": {"turn": 10}}, "Affine turn 10 is refused by imgaug"),
        ({"Affine": {"rotate": "far"}}, "Affine rotate far is refused by imgaug"),
        ({"os": {}}, "no augmenter `os`"),
    ],
)
def test_what_imgaug_does_not_have(change, message):
    """A wrong name or parameter is an error that names it, before anything is trained."""
    with pytest.raises(ConfigurationError, match=message):
        augment(IMAGES, 1, 1.0, [change])
