"""The SavedModel that keeps :mod:`scenery.contract`: one graph, three signatures, constants only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from export.freeze import FrozenNetwork
from scenery import contract, preprocess

_V1 = tf.compat.v1


def write_saved_model(
    folder: Path,
    network: FrozenNetwork,
    labels: list[str],
    thresholds: list[float],
    size: tuple[int, int],
    provenance: dict[str, Any],
    card: str | None = None,
    max_pixels: int = contract.MAX_PIXELS,
    pad_to_aspect_ratio: bool = True,
) -> None:
    """Write a SavedModel into ``folder``, which may exist if it is empty.

    ``serving_default`` decodes photos into the very tensor that ``pixels`` feeds directly, so the
    two cannot differ and the weights are stored once.

    Parameters
    ----------
    labels, thresholds
        The names of the scores, in order, and where each is cut.
    size
        Height and width of the network's input, in pixels.
    provenance
        A JSON object that ``describe`` answers with.
    card
        The model card that ``describe`` answers with; None if there is none.
    max_pixels
        Larger photos are refused before they are decoded.
    pad_to_aspect_ratio
        Whether photos keep their proportions and are padded, or are stretched to ``size``, as in training.
    """
    with tf.Graph().as_default() as graph:
        image_bytes = _V1.placeholder(tf.string, [None], name=contract.INPUT_IMAGE_BYTES)
        decoded = preprocess.decode_batch(image_bytes, size, max_pixels, pad_to_aspect_ratio)
        image = _V1.placeholder_with_default(decoded, [None, *size, 3], name=contract.INPUT_IMAGE)
        (scored,) = tf.import_graph_def(
            network.graph_def, {network.input_name: image}, [network.output_name], name="network"
        )
        scores = tf.ensure_shape(scored, [None, len(labels)], name=contract.OUTPUT_SCORES)
        outputs = {contract.OUTPUT_SCORES: scores}
        description = {
            contract.OUTPUT_LABELS: tf.constant(labels, tf.string, name=contract.OUTPUT_LABELS),
            contract.OUTPUT_THRESHOLDS: tf.constant(thresholds, tf.float32, name=contract.OUTPUT_THRESHOLDS),
            contract.OUTPUT_PROVENANCE: tf.constant(json.dumps(provenance), name=contract.OUTPUT_PROVENANCE),
        }
        if card is not None:
            description[contract.OUTPUT_MODEL_CARD] = tf.constant(card, name=contract.OUTPUT_MODEL_CARD)
        signatures = {
            contract.SIGNATURE_CLASSIFY: _signature({contract.INPUT_IMAGE_BYTES: image_bytes}, outputs),
            contract.SIGNATURE_PIXELS: _signature({contract.INPUT_IMAGE: image}, outputs),
            contract.SIGNATURE_DESCRIBE: _signature({}, description),
        }
        builder = _V1.saved_model.Builder(str(folder / "saved_model"))
        with _V1.Session(graph=graph) as session:
            builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], signature_def_map=signatures)
        builder.save()
    for path in (folder / "saved_model").iterdir():
        path.rename(folder / path.name)
    (folder / "saved_model").rmdir()


def _signature(inputs: dict[str, Any], outputs: dict[str, Any]) -> Any:
    def infos(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: _V1.saved_model.build_tensor_info(tensor) for name, tensor in tensors.items()}

    return _V1.saved_model.build_signature_def(infos(inputs), infos(outputs), tf.saved_model.PREDICT_METHOD_NAME)
