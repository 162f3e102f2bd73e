"""Warmup: the requests that a SavedModel brings with it, replayed before it serves.

They lie in ``assets.extra/tf_serving_warmup_requests``, a file of TFRecords of ``PredictionLog``.
Source: https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
from google.protobuf.message import DecodeError

from scenery import contract, wire
from serving.classify import classify
from serving.errors import ServingError, invalid_argument
from serving.multi_inference import multi_inference
from serving.predict import predict
from serving.regress import regress
from serving.saved_model import SavedModel

MAX_RECORDS = 1000
"""As in TensorFlow Serving."""


def warm_up(model: SavedModel, path: Path, iterations: int = 1) -> int:
    """Replay the requests in the version's folder ``path``, each ``iterations`` times.

    Returns
    -------
    How many records there were; 0 if the SavedModel brings none.

    Raises
    ------
    ServingError
        If a request fails, or the file cannot be read.
    """
    file = path / contract.WARMUP_FILE
    count = 0
    for record in _records(file):
        count += 1
        if count > MAX_RECORDS:
            raise invalid_argument(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {file}")
        try:
            log = wire.PredictionLog.FromString(record)
        except DecodeError as error:
            raise invalid_argument(f"Failed to parse warmup record: {count} from {file}") from error
        for _ in range(iterations):
            _replay(model, log)
    return count


def _replay(model: SavedModel, log: wire.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        predict(model, log.predict_log.request)
    elif kind == "classify_log":
        classify(model, log.classify_log.request)
    elif kind == "regress_log":
        regress(model, log.regress_log.request)
    elif kind == "multi_inference_log":
        multi_inference(model, log.multi_inference_log.request)
    else:
        raise ServingError("UNIMPLEMENTED", f"Unsupported log_type for warmup: {kind}")


def _records(file: Path) -> Iterator[bytes]:
    """Read TFRecords: length, its checksum, data, its checksum.

    Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    if not file.is_file():
        return
    with file.open("rb") as stream:
        while head := stream.read(12):
            length = struct.unpack("<Q", _checked(head[:8], head[8:], file))[0]
            data = stream.read(length)
            yield _checked(data, stream.read(4), file)


def _checked(data: bytes, checksum: bytes, file: Path) -> bytes:
    crc = google_crc32c.value(data)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    if checksum != struct.pack("<I", masked):
        raise ServingError(
            "DATA_LOSS", f"corrupted record in {file}. Please verify your warmup data is in TFRecord format."
        )
    return data
