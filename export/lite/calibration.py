"""The photos that int8's ranges are measured on: some that the network was trained on, none that it is judged by."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import yaml

from export.trained_run import TrainedRun
from scenery import preprocess
from scenery.errors import ExportError
from scenery.photo_files import photos_below

MOST_PHOTOS = 100
"""Each takes a tenth of a second."""


def calibration_pixels(run: TrainedRun, folder: Path | None = None) -> npt.NDArray[np.uint8]:
    """Return photos as the network will see them, uint8 [n, height, width, 3].

    Parameters
    ----------
    folder
        Where the run's training photos are, or others to take instead of them. If None, where the run says
        that they were.

    Raises
    ------
    ExportError
        If there is no photo, or one cannot be decoded.
    """
    photos = calibration_photos(run, folder)
    photos = photos[:: -(-len(photos) // MOST_PHOTOS)]
    return np.concatenate([_decode(photo, run) for photo in photos])


def calibration_photos(run: TrainedRun, folder: Path | None) -> list[Path]:
    """Return the photos to choose from; see :func:`calibration_pixels`."""
    config = _read_yaml(run.folder / "data_config.yaml")
    place = folder or Path(_text(config, "images_base_path") or run.folder)
    photos = [place / name for name in _training_names(run.folder / "split.csv", _text(config, "image_name_col"))]
    photos = [photo for photo in photos if photo.is_file()]
    if not photos and folder is not None:
        photos = [Path(found) for found in photos_below(str(folder)) if isinstance(found, str)]
    if not photos:
        missing = (
            f"The photos that {run.folder} was trained on are not here."
            if folder is None
            else f"{folder} has no photo to calibrate int8 on."
        )
        raise ExportError(f"{missing} Name a folder of photos with --calibration.")
    return photos


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return config if isinstance(config, dict) else {}


def _text(config: dict[str, Any], name: str) -> str | None:
    value = config.get(name)
    return value if isinstance(value, str) else None


def _training_names(split: Path, column: str | None) -> list[str]:
    """Return the names of a run's training photos; none if it does not tell."""
    try:
        with split.open(newline="") as stream:
            rows = csv.DictReader(stream)
            names = column or next(iter(rows.fieldnames or []), "")
            return [row[names] for row in rows if row["part"] == "train"]
    except (OSError, ValueError, KeyError, csv.Error):
        return []


def _decode(photo: Path, run: TrainedRun) -> npt.NDArray[np.uint8]:
    try:
        pixels: npt.NDArray[np.uint8] = preprocess.decode_batch(
            tf.constant([photo.read_bytes()]), run.size, pad_to_aspect_ratio=run.pad_to_aspect_ratio
        ).numpy()
    except (OSError, tf.errors.OpError) as error:
        raise ExportError(f"{photo} cannot be used to calibrate int8: {error}. Take it out of the folder.") from error
    return pixels
