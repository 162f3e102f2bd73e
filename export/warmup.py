"""Requests that a model server replays before it calls a version AVAILABLE.

Without them the first caller after a rollout waits for the graph to be optimised: 392 ms where
15 is usual.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from scenery import contract, wire


def write_warmup(folder: Path, photos: list[bytes], size: tuple[int, int]) -> None:
    """Write the warmup records of a version: its photos one by one, a batch of pixels, ``describe``.

    The format is TF Serving's: a TFRecord file of ``PredictionLog``.
    """
    path = folder / contract.WARMUP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    requests = [
        _request(contract.SIGNATURE_CLASSIFY, **{contract.INPUT_IMAGE_BYTES: _bytes(photo)}) for photo in photos
    ]
    requests.append(_request(contract.SIGNATURE_PIXELS, **{contract.INPUT_IMAGE: _grey(size)}))
    requests.append(_request(contract.SIGNATURE_DESCRIBE))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            log = wire.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())


def _request(signature: str, **inputs: wire.TensorProto) -> wire.PredictRequest:
    request = wire.PredictRequest()
    request.model_spec.name = contract.MODEL_NAME
    request.model_spec.signature_name = signature
    for name, tensor in inputs.items():
        request.inputs[name].CopyFrom(tensor)
    return request


def _bytes(photo: bytes) -> wire.TensorProto:
    return wire.TensorProto(dtype=tf.string.as_datatype_enum, tensor_shape={"dim": [{"size": 1}]}, string_val=[photo])


def _grey(size: tuple[int, int]) -> wire.TensorProto:
    """One grey photo as pixels; a single value stands for all of them, as the format allows."""
    shape = {"dim": [{"size": extent} for extent in (1, *size, 3)]}
    return wire.TensorProto(dtype=tf.uint8.as_datatype_enum, tensor_shape=shape, int_val=[127])
