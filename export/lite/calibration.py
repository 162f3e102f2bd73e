"""The photos that int8's ranges are measured on: some that the network was trained on, none that it is judged by."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

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

log = logging.getLogger(__name__)


def calibration_pixels(run: TrainedRun, folder: Path | None = None) -> npt.NDArray[np.uint8]:
    """Return photos as the network will see them, uint8 [n, height, width, 3].

    Parameters
    ----------
    folder
        Where the run's training photos are, or others to take instead of them. If None, where the run says
        that they were; if they are no longer there, its golden photos must do.

    Raises
    ------
    ExportError
        If ``folder`` has no photo, or a photo cannot be decoded.
    """
    photos = calibration_photos(run, folder)
    photos = photos[:: -(-len(photos) // MOST_PHOTOS)]
    return np.concatenate([_decode(photo, run) for photo in photos])


def calibration_photos(run: TrainedRun, folder: Path | None) -> list[Path]:
    """Return the photos to choose from; see :func:`calibration_pixels`."""
    config = _read_yaml(run.folder / "data_config.yaml")
    place = folder or Path(config.get("images_base_path", run.folder))
    photos = [place / name for name in _training_names(run.folder / "split.csv", config.get("image_name_col"))]
    photos = [photo for photo in photos if photo.is_file()]
    if not photos and folder is not None:
        photos = [Path(found) for found in photos_below(str(folder)) if isinstance(found, str)]
        if not photos:
            raise ExportError(
                f"{folder} has no photo to calibrate int8 on. Name a folder of photos with --calibration."
            )
    if not photos:
        log.warning(
            "The photos that %s was trained on are not here: int8 is calibrated on its %d golden ones, which are few. "
            "Name a folder of photos with --calibration.", run.folder, len(run.golden),
        )  # fmt: skip
    return photos or list(run.golden)


def _read_yaml(path: Path) -> dict[str, str]:
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return config if isinstance(config, dict) else {}


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
