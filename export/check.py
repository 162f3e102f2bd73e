"""Does a written version do what the trained network did? Asked the way a model server runs it.

The version is loaded into a ``Session`` and called by signature, because that is what TensorFlow
Serving does, and because a SavedModel that ``tf.saved_model.load`` runs can still fail there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from export.trained_run import TrainedRun
from scenery import contract
from scenery.errors import ExportError

TOLERANCE = 1e-4
"""How far a score may be from the trained network's: rounding, not another answer."""


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
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        try:
            meta_graph = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], str(folder))
            _check_description(session, meta_graph, run)
            served = [_classify(session, meta_graph, photo.read_bytes()) for photo in run.golden]
        except tf.errors.OpError as error:
            raise ExportError(
                f"The exported version fails where a model server would run it: {error.message}"
            ) from error
    difference = float(np.abs(np.array(served) - np.array(list(run.golden.values()))).max())
    if not difference <= TOLERANCE:  # NaN is no answer either
        raise ExportError(
            f"The exported version scores a golden photo {difference:.2g} away from the trained network; "
            f"at most {TOLERANCE} is rounding. Train and export with the same version of Scenery."
        )
    return difference


def _check_description(session: Any, meta_graph: Any, run: TrainedRun) -> None:
    outputs = meta_graph.signature_def[contract.SIGNATURE_DESCRIBE].outputs
    labels = [label.decode() for label in session.run(outputs[contract.OUTPUT_LABELS].name)]
    thresholds = session.run(outputs[contract.OUTPUT_THRESHOLDS].name)
    if not np.allclose(thresholds, run.thresholds):
        raise ExportError(f"The exported version has the thresholds {thresholds}; the run has {run.thresholds}.")
    if labels != run.labels:
        raise ExportError(f"The exported version describes its labels as {labels}; the run has {run.labels}.")


def _classify(session: Any, meta_graph: Any, photo: bytes) -> Any:
    """Score a photo by both signatures, the pixels being those that the first one decoded."""
    signatures = meta_graph.signature_def
    scores = signatures[contract.SIGNATURE_CLASSIFY].outputs[contract.OUTPUT_SCORES].name
    image_bytes = signatures[contract.SIGNATURE_CLASSIFY].inputs[contract.INPUT_IMAGE_BYTES].name
    image = signatures[contract.SIGNATURE_PIXELS].inputs[contract.INPUT_IMAGE].name
    (answer,), pixels = session.run([scores, image], {image_bytes: [photo]})
    (from_pixels,) = session.run(scores, {image: pixels})
    if not np.allclose(answer, from_pixels, atol=TOLERANCE):
        raise ExportError(f"The signatures disagree: {answer} for a photo, {from_pixels} for its own pixels.")
    return answer
