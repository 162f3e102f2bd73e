"""Does a version answer as it should: golden photos, its description, its warmup requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from export.card import read_card
from export.gate.verdict import Finding
from export.golden import Golden, load_golden
from scenery import contract, wire
from scenery.errors import ExportError
from scenery.loaded import Floats, LoadedVersion

TOLERANCE = 1e-4
"""How far a score may be from the trained network's: rounding, not another answer."""


def read_golden(version: Path) -> Golden:
    """Return a version's golden photos and the scores that the trained network gave them.

    Raises
    ------
    ExportError
        If there are none.
    """
    folder = version / contract.GOLDEN_FOLDER
    try:
        golden = load_golden(folder)
    except FileNotFoundError as error:
        raise ExportError(
            f"It has no {Path(str(error.filename)).name} in {contract.GOLDEN_FOLDER}: photos and the scores that the "
            "trained network gave them. Publish the run that it comes from."
        ) from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ExportError(f"Its golden photos cannot be read: {error!r}. Publish the run again.") from error
    if not golden:
        raise ExportError("Its set of golden photos is empty. Publish the run that it comes from.")
    return golden


def largest_difference(loaded: LoadedVersion, golden: Golden) -> float:
    """Return how far a score is from the trained network's, over all photos.

    Raises
    ------
    ExportError
        If a photo has more or fewer scores than it had, or others by its pixels.
    VersionError
        If a photo cannot be scored.
    """
    served = [_score(loaded, photo.read_bytes()) for photo in golden]
    trained = list(golden.values())
    if any(len(row) != len(expected) for row, expected in zip(served, trained, strict=True)):
        raise ExportError(f"It gives a photo {len(served[0])} scores where the network gave {len(trained[0])}.")
    return float(np.abs(np.array(served) - np.array(trained)).max())


def _score(loaded: LoadedVersion, photo: bytes) -> Floats:
    """Score a photo, by its own pixels too if there is a signature for them: the two must agree."""
    answer = loaded.classify(photo)
    if contract.SIGNATURE_PIXELS not in loaded.signatures:
        return answer
    image = loaded.signatures[contract.SIGNATURE_PIXELS].inputs[contract.INPUT_IMAGE].name
    image_bytes = loaded.signatures[contract.SIGNATURE_CLASSIFY].inputs[contract.INPUT_IMAGE_BYTES].name
    try:
        pixels: Any = loaded.session.run(image, {image_bytes: [photo]})
    except (tf.errors.OpError, ValueError, TypeError) as error:
        raise ExportError(f"A golden photo's pixels cannot be had from it: {error}") from error
    from_pixels = loaded.predict(contract.SIGNATURE_PIXELS, {contract.INPUT_IMAGE: pixels})[contract.OUTPUT_SCORES][0]
    if not np.allclose(answer, from_pixels, atol=TOLERANCE):
        raise ExportError(f"Its signatures disagree: {answer} for a photo, {from_pixels} for its own pixels.")
    return answer


def check_golden(loaded: LoadedVersion) -> Finding:
    """Compare the answers to the golden photos with the trained network's, by both signatures if there are two."""
    golden = read_golden(loaded.folder)
    difference = largest_difference(loaded, golden)
    figures = {"photos": len(golden), "largest_difference": difference, "tolerance": TOLERANCE}
    detail = f"{len(golden)} photos, at most {difference:.1g} from the trained network ({TOLERANCE:g} allowed)"
    return Finding(difference <= TOLERANCE, detail, figures)  # NaN is no answer either


def check_describe(loaded: LoadedVersion) -> Finding:
    """Require labels, thresholds and provenance, and a model card, if there is one, that is the same in both places."""
    description = loaded.describe()
    pairs = zip(description.labels, description.thresholds, strict=True)
    card_bytes = _card_bytes(loaded.folder, description.card)
    figures = {
        "labels": description.labels,
        "thresholds": description.thresholds,
        "model_card_bytes": card_bytes,
    }
    told = ", ".join(f"{label} from {threshold:.2f}" for label, threshold in pairs)
    return Finding(True, f"{told}; {'no' if card_bytes is None else 'a'} model card", figures)


def _card_bytes(folder: Path, card: str | None) -> int | None:
    """Return the size of a version's model card, None if it has none; raises :class:`ExportError` if it has two."""
    try:
        in_file = read_card(folder / contract.MODEL_CARD_FILE)
    except OSError as error:
        raise ExportError(f"Its {contract.MODEL_CARD_FILE} cannot be read: {error.strerror}.") from error
    if in_file is not None and in_file != card:
        raise ExportError(
            f"Its {contract.MODEL_CARD_FILE} is not what 'describe' answers as {contract.OUTPUT_MODEL_CARD!r}. "
            "Publish the run that it comes from."
        )
    if card is None:
        return None
    if (size := len(card.encode())) > contract.MAX_MODEL_CARD_BYTES:
        raise ExportError(f"Its model card may have {contract.MAX_MODEL_CARD_BYTES} bytes. Received: {size}")
    return size


def check_warmup(loaded: LoadedVersion) -> Finding:
    """Replay the requests that a model server will."""
    path = loaded.folder / contract.WARMUP_FILE
    if not path.is_file():
        raise ExportError(f"It has no {contract.WARMUP_FILE}: its first callers would wait. Publish its run.")
    try:
        records = [record.numpy() for record in tf.data.TFRecordDataset([str(path)])]
        logs = [wire.PredictionLog.FromString(record) for record in records]
    except Exception as error:  # whatever TensorFlow or protobuf make of damaged bytes
        raise ExportError(f"{contract.WARMUP_FILE} cannot be read: {error}") from error
    for log in logs:
        _replay(loaded, log)
    return Finding(True, f"{len(logs)} requests answered", {"requests": len(logs)})


def _replay(loaded: LoadedVersion, log: wire.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind != "predict_log":
        raise ExportError(f"A warmup request is a {kind}; the gate replays Predict requests only.")
    request = log.predict_log.request
    signature = request.model_spec.signature_name or contract.SIGNATURE_CLASSIFY
    try:
        inputs = {name: _array(tensor) for name, tensor in request.inputs.items()}
    except (TypeError, ValueError, DecodeError) as error:
        raise ExportError(f"A warmup request has an input that is no tensor: {error}") from error
    loaded.predict(signature, inputs)


def _array(tensor: wire.TensorProto) -> np.ndarray:
    array: np.ndarray = tf.make_ndarray(tf.make_tensor_proto(0).FromString(tensor.SerializeToString()))
    return array
