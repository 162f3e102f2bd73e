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
from export.gate.gate import Gate
from export.gate.verdict import Finding
from export.golden import write_golden
from export.lite.calibration import calibration_pixels
from export.lite.convert import Precision, write_lite
from export.saved_model import write_saved_model
from export.trained_run import TrainedRun, read_run
from export.warmup import write_warmup
from scenery import contract, versions
from scenery.errors import ExportError
from scenery.lite import FILE_NAME as LITE_FILE
from scenery.lite import require_runtime
from scenery.loaded import LoadedVersion
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
    precision: Finding | None = None
    """How its ``model.tflite`` compares with its SavedModel; None if it has none."""


@dataclass(frozen=True)
class Lite:
    """A ``model.tflite`` that is wanted."""

    precision: Precision
    calibration: Path | None = None
    """The photos for int8; see :func:`export.lite.calibration.calibration_pixels`."""


def export(
    run_dir: Path,
    model_dir: Path,
    version: int | None = None,
    max_pixels: int = contract.MAX_PIXELS,
    lite: Lite | None = None,
    gate: Gate | None = None,
) -> Exported:
    """Write a run as the next version in ``model_dir``, or as ``version``.

    Nothing appears under the number before the version was checked, and then all of it at once.

    Parameters
    ----------
    lite
        None: the version has no ``model.tflite``.
    gate
        What a ``model.tflite`` is held against; None: it is not compared.

    Raises
    ------
    ConfigurationError
        If LiteRT is wanted and not installed.
    ExportError
        If the run is incomplete, the version does not answer as the trained network did, or its
        ``model.tflite`` is worse.
    VersionError
        If ``version`` is taken.
    """
    run = read_run(run_dir)
    if lite is not None and gate is not None:
        _ = gate.evaluation_set  # Before all else: a misspelt name is told at once.
    with versions.staged_version(model_dir) as folder:
        number = version or versions.next_version(model_dir)
        write_version(run, folder, model_dir.name, number, max_pixels, lite)
        difference = check_version(folder, run)
        precision = None if lite is None or gate is None else _check_precision(folder, gate, lite)
        path = versions.publish(folder, number)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return Exported(path, number, size, difference, precision)


def _check_precision(folder: Path, gate: Gate, lite: Lite) -> Finding:
    with LoadedVersion(folder) as loaded:
        finding = gate.check_precision(loaded)
    if not finding.fine:
        cure = "Calibrate on other photos with --calibration, allow" if lite.precision == "int8" else "Allow"
        raise ExportError(f"{finding.detail}. {cure} more with --precision-margin, or export without --precision.")
    return finding


def write_version(
    run: TrainedRun,
    folder: Path,
    model_name: str,
    number: int,
    max_pixels: int = contract.MAX_PIXELS,
    lite: Lite | None = None,
) -> None:
    """Write a run's model into an empty folder, with all that belongs to a version; nothing of it is run.

    Raises
    ------
    ExportError
        If it cannot be written.
    """
    if lite is not None:
        require_runtime()
    network = freeze(_load(run.model_path), run.size)
    provenance = {"version": number, **run.provenance, "metrics": run.metrics}
    if lite is not None:
        provenance["precision"] = {"saved_model.pb": "float32", LITE_FILE: lite.precision}
    card = None if run.card is None else with_version(run.card, model_name, number, lite.precision if lite else None)
    try:
        described = (run.labels, run.thresholds, run.size, provenance, card)
        write_saved_model(folder, network, *described, max_pixels, run.pad_to_aspect_ratio)
        if lite is not None:
            calibration = calibration_pixels(run, lite.calibration) if lite.precision == "int8" else None
            write_lite(folder, network, run.size, calibration)
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
