"""From a training run to a numbered version that a model server picks up."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import keras

from export.check import check_version
from export.freeze import freeze
from export.saved_model import write_saved_model
from export.trained_run import read_run
from export.warmup import write_warmup
from scenery import contract, versions

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
    network = freeze(keras.models.load_model(run.model_path, compile=False), run.size)
    with versions.staged_version(model_dir) as folder:
        number = version or versions.next_version(model_dir)
        provenance = {"version": number, **run.provenance, "metrics": run.metrics}
        write_saved_model(folder, network, run.labels, run.thresholds, run.size, provenance, max_pixels)
        write_warmup(folder, [photo.read_bytes() for photo in list(run.golden)[:WARMUP_PHOTOS]], run.size)
        difference = check_version(folder, run)
        path = versions.publish(folder, number)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return Exported(path, number, size, difference)
