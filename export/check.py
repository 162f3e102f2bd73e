"""Does a written version do what the trained network did? Asked the way a model server runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.gate.answers import TOLERANCE, check_describe, largest_difference
from export.trained_run import TrainedRun
from scenery import contract
from scenery.errors import ExportError, VersionError
from scenery.loaded import LoadedVersion


def check_version(folder: Path, run: TrainedRun) -> float:
    """Load a version and compare it with the run it was made from.

    Returns
    -------
    The largest difference between a served and a trained score, over the golden photos.

    Raises
    ------
    ExportError
        If it does not load, describes itself wrongly, or answers otherwise than the network did.
    """
    try:
        with LoadedVersion(folder) as loaded:
            _check_description(loaded, run)
            check_describe(loaded)
            _require_signatures(loaded)
            difference = largest_difference(loaded, run.golden)
    except (ExportError, VersionError) as error:
        raise ExportError(f"The exported version fails where a model server would run it. {error}") from error
    if not difference <= TOLERANCE:  # NaN is no answer either
        raise ExportError(
            f"The exported version scores a golden photo {difference:.2g} away from the trained network; "
            f"at most {TOLERANCE} is rounding. Train and export with the same version of Scenery."
        )
    return difference


def _require_signatures(loaded: LoadedVersion) -> None:
    if contract.SIGNATURE_PIXELS not in loaded.signatures:
        raise ExportError(f"It has no signature {contract.SIGNATURE_PIXELS!r}.")


def _check_description(loaded: LoadedVersion, run: TrainedRun) -> None:
    description = loaded.describe()
    if not np.allclose(description.thresholds, run.thresholds):
        raise ExportError(f"It has the thresholds {description.thresholds}; the run has {run.thresholds}.")
    if description.labels != run.labels:
        raise ExportError(f"It describes its labels as {description.labels}; the run has {run.labels}.")
