"""A picture of what the augmentation recipe does to photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.augment import augment, describe
from training.config import DataConfig, TrainingConfig
from training.dataset import decode_photos

WHOLE_RECIPES = 3
"""Columns that show all changes together, as training sees them."""

_INCHES = 1.7
_TITLE_CHARACTERS = 18

Pixels = npt.NDArray[np.uint8]
_Apply = Callable[[Pixels], Pixels]


def draw_preview(photos: list[Path], data: DataConfig, config: TrainingConfig, picture: Path) -> None:
    """Draw a row a photo: as it is, changed by each change alone, and by the whole recipe as training does it.

    Parameters
    ----------
    data
        Tells how photos are fitted into what the network sees.
    picture
        Where to write it; its suffix chooses the format.

    Raises
    ------
    ConfigurationError
        If imgaug does not have what the recipe names.
    DataError
        If a photo cannot be decoded.
    """
    from matplotlib.figure import Figure

    pixels = decode_photos(photos, data.size, data.pad_to_aspect_ratio)
    columns = _columns(config)
    figure = Figure(figsize=(_INCHES * len(columns), _INCHES * len(photos) + 0.5), layout="constrained")
    grid = figure.subplots(len(photos), len(columns), squeeze=False)
    for place, (title, change) in enumerate(columns):
        changed = change(pixels)
        for row, axes in enumerate(grid[:, place]):
            axes.imshow(changed[row])
            axes.axis("off")
        grid[0, place].set_title(_folded(title), fontsize=7)
    figure.savefig(picture, dpi=110)


def _columns(config: TrainingConfig) -> list[tuple[str, _Apply]]:
    recipe, seed = config.augmentation, config.seed

    def alone(change: Any) -> _Apply:
        return lambda pixels: augment(pixels, seed, 1.0, [change])

    def together(number: int) -> _Apply:
        return lambda pixels: augment(pixels, seed + number, config.augmentation_probability, recipe)

    singly = [(describe(change), alone(change)) for change in recipe]
    wholly = [(f"all, each for {config.augmentation_probability:.0%}", together(n)) for n in range(WHOLE_RECIPES)]
    return [("the photo", lambda pixels: pixels), *singly, *wholly]


def _folded(title: str) -> str:
    lines = [""]
    for word in title.split():
        if len(lines[-1]) + len(word) > _TITLE_CHARACTERS:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
