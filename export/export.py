"""From a training run to a numbered version that a model server picks up."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from export.card import with_version
from export.check import check_version
from export.freeze import freeze
from export.golden import write_golden
from export.saved_model import write_saved_model
from export.trained_run import TrainedRun, read_run
from export.warmup import write_warmup
from scenery import contract, versions
from scenery.errors import ExportError
from scenery.manifest import write_manifest

WARMUP_PHOTOS = 3

# TensorFlow recommends its second API where a Session is what is wanted.
logging.getLogger("tensorflow").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Exported:
    """A version that was written, checked and published."""

    path: Path
    version: int
    bytes: int
    """Size of all its files."""
    largest_difference: float
    """Between a served and a trained score, over the golden photos."""


def export(
    run_dir: Path, model_dir: Path, version: int | None = None, max_pixels: int = contract.MAX_PIXELS
) -> Exported:
    """Write a run as the next version in ``model_dir``, or as ``version``.

    Nothing appears under the number before the version was checked, and then all of it at once.

    Raises
    ------
    ExportError
        If the run is incomplete, or the version does not answer as the trained network did.
    VersionError
        If ``version`` is taken.
    """
    run = read_run(run_dir)
    with versions.staged_version(model_dir) as folder:
        number = version or versions.next_version(model_dir)
        write_version(run, folder, model_dir.name, number, max_pixels)
        difference = check_version(folder, run)
        path = versions.publish(folder, number)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return Exported(path, number, size, difference)


def write_version(
    run: TrainedRun, folder: Path, model_name: str, number: int, max_pixels: int = contract.MAX_PIXELS
) -> None:
    """Write a run's model into an empty folder, with all that belongs to a version; nothing of it is run.

    Raises
    ------
    ExportError
        If it cannot be written.
    """
    network = freeze(_load(run.model_path), run.size)
    provenance = {"version": number, **run.provenance, "metrics": run.metrics}
    card = None if run.card is None else with_version(run.card, model_name, number)
    try:
        described = (run.labels, run.thresholds, run.size, provenance, card)
        write_saved_model(folder, network, *described, max_pixels, run.pad_to_aspect_ratio)
        write_warmup(folder, [photo.read_bytes() for photo in list(run.golden)[:WARMUP_PHOTOS]], run.size)
    except tf.errors.OpError as error:  # how TensorFlow tells of a full disk
        raise ExportError(f"The version cannot be written: {error.message}. Make room, then try again.") from error
    write_golden(folder / contract.GOLDEN_FOLDER, run.golden)
    if card is not None:
        (folder / contract.MODEL_CARD_FILE).write_bytes(card.encode())
    write_manifest(folder)


def _load(path: Path) -> keras.Model:
    """Read a network as data: what a file says of layers with code of their own is not run."""
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError) as error:
        raise ExportError(f"{path} cannot be read as a Keras network: {error}. Train again.") from error
