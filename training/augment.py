"""The augmentation recipe: what a photo may look like and still be the same scene.

Each of nine gentle changes is applied to a share of the photos, by default a tenth, in random
order. The changes and their figures are those of the tutorial that Scenery grew from (CVxTz/FastImageClassification).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scenery.errors import ConfigurationError


def augment(images: npt.NDArray[np.uint8], seed: int, probability: float) -> npt.NDArray[np.uint8]:
    """Change a batch of photos at random: uint8 [n, height, width, 3] → the same shape.

    ``probability`` is the share of photos that each change is applied to. The same ``seed`` gives
    the same changes.
    """
    augmented: npt.NDArray[np.uint8] = _recipe(seed, probability)(images=images)
    return augmented


def _recipe(seed: int, probability: float) -> Any:
    augmenters = _imgaug()
    from scenery.preprocess import GREY

    def affine(**changes: Any) -> Any:
        return augmenters.Affine(cval=GREY, **changes)

    changes = [
        augmenters.Fliplr(0.5),
        affine(scale={"x": (0.9, 1.1)}),
        affine(scale={"y": (0.9, 1.1)}),
        affine(translate_percent={"x": (-0.1, 0.1)}),
        affine(translate_percent={"y": (-0.1, 0.1)}),
        affine(rotate=(-10, 10)),
        affine(shear=(-5, 5)),
        augmenters.AdditiveGaussianNoise(scale=0.01 * 255),
        augmenters.GaussianBlur(sigma=(0, 3.0)),
    ]
    sometimes = [augmenters.Sometimes(probability, change) for change in changes]
    recipe = augmenters.Sequential(sometimes, random_order=True)
    recipe.seed_(seed)  # each change's own random numbers too
    return recipe


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
