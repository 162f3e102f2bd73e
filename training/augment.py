"""The augmentation recipe: what a photo may look like and still be the same scene.

A recipe is a list of imgaug's augmenters with their figures. Each is applied to a share of the photos, in random
order. The recipe that is used where a configuration names none, and its figures, are those of the tutorial that
Scenery grew from (CVxTz/FastImageClassification): nine gentle changes, each for a tenth of the photos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scenery.errors import ConfigurationError
from training.nearest import did_you_mean

Change = Mapping[str, Mapping[str, Any]]
"""One augmenter's name, and its parameters: ``{"Affine": {"rotate": [-10, 10]}}``; a list of two numbers is a range."""

Recipe = Sequence[Change]

TUTORIAL: Recipe = (
    {"Fliplr": {"p": 0.5}},
    {"Affine": {"scale": {"x": [0.9, 1.1]}}},
    {"Affine": {"scale": {"y": [0.9, 1.1]}}},
    {"Affine": {"translate_percent": {"x": [-0.1, 0.1]}}},
    {"Affine": {"translate_percent": {"y": [-0.1, 0.1]}}},
    {"Affine": {"rotate": [-10, 10]}},
    {"Affine": {"shear": [-5, 5]}},
    {"AdditiveGaussianNoise": {"scale": 0.01 * 255}},
    {"GaussianBlur": {"sigma": [0, 3.0]}},
)


def augment(
    images: npt.NDArray[np.uint8], seed: int, probability: float, recipe: Recipe = TUTORIAL
) -> npt.NDArray[np.uint8]:
    """Change a batch of photos at random: uint8 [n, height, width, 3] → the same shape.

    Parameters
    ----------
    seed
        The same one gives the same changes.
    probability
        The share of photos that each change is applied to.

    Raises
    ------
    ConfigurationError
        If the recipe names an augmenter or a parameter that imgaug does not have.
    """
    augmented: npt.NDArray[np.uint8] = _build(recipe, seed, probability)(images=images)
    return augmented


def describe(change: Change) -> str:
    """Return a change as people read it: ``Affine rotate [-10, 10]``."""
    ((name, parameters),) = change.items()
    return " ".join([name, *(f"{key} {value}" for key, value in parameters.items())])


def _build(recipe: Recipe, seed: int, probability: float) -> Any:
    augmenters = _imgaug()
    sometimes = [augmenters.Sometimes(probability, _augmenter(augmenters, change)) for change in recipe]
    built = augmenters.Sequential(sometimes, random_order=True)
    built.seed_(seed)  # each change's own random numbers too
    return built


def _augmenter(augmenters: Any, change: Change) -> Any:
    from scenery.preprocess import GREY

    ((name, parameters),) = change.items()
    known = [
        key for key, value in vars(augmenters).items()
        if isinstance(value, type) and issubclass(value, augmenters.Augmenter)
    ]  # fmt: skip
    if name not in known:
        hint = did_you_mean(name, known) or " imgaug's documentation lists its augmenters."
        raise ConfigurationError(f"augmentation: imgaug has no augmenter `{name}`.{hint}")
    arguments = {key: _ranges(value) for key, value in parameters.items()}
    if name == "Affine":
        arguments.setdefault("cval", GREY)  # what a photo is padded with
    try:
        return getattr(augmenters, name)(**arguments)
    except Exception as error:  # imgaug raises AssertionError, TypeError and its own
        raise ConfigurationError(f"augmentation: {describe(change)} is refused by imgaug: {error}") from error


def _ranges(value: Any) -> Any:
    """Turn what YAML can write into what imgaug reads as ranges: lists of two into tuples."""
    if isinstance(value, Mapping):
        return {key: _ranges(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) and len(value) == 2 else value


def _imgaug() -> Any:
    """Import imgaug, with the one NumPy 1 name that it reads while importing put back.

    NumPy 2 dropped ``np.sctypes``; imgaug 0.4.0 lists the number types from it. See
    docs/adr/0004-imgaug.md.
    """
    if not hasattr(np, "sctypes"):
        np.sctypes = {  # type: ignore[attr-defined]
            "int": [np.int8, np.int16, np.int32, np.int64],
            "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
            "float": [np.float16, np.float32, np.float64],
        }
    try:
        import imgaug.augmenters
    except ImportError as error:
        raise ConfigurationError(
            f"imgaug cannot be imported: {error}. If a graphics library is missing, run "
            "`pip install --force-reinstall --no-deps opencv-python-headless`; or set use_augmentation: false."
        ) from error
    return imgaug.augmenters
