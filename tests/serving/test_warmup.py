"""Warmup: what a SavedModel brings is replayed, and a bad record keeps it from serving."""

from __future__ import annotations

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from scenery import contract
from serving.errors import ServingError
from serving.loader import Loader, LoaderOptions
from serving.metrics import ServerMetrics
from tests.conformance import models


@pytest.fixture
def version(tmp_path):
    """A version that can predict, classify and regress."""
    models.half_plus_two(tmp_path / "1", 2.0)
    (tmp_path / "1" / contract.WARMUP_FILE).parent.mkdir()
    return tmp_path / "1"


def write(version, *logs) -> None:
    with tf.io.TFRecordWriter(str(version / contract.WARMUP_FILE)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def log(kind: str, signature: str) -> prediction_log_pb2.PredictionLog:
    made = prediction_log_pb2.PredictionLog()
    request = getattr(made, f"{kind}_log").request
    examples = request.input.example_list.examples
    examples.add().features.feature["x"].float_list.value.append(1.0)
    if kind == "multi_inference":
        task = request.tasks.add(method_name="tensorflow/serving/regress")
        task.model_spec.name, task.model_spec.signature_name = "m", signature
    else:
        request.model_spec.name, request.model_spec.signature_name = "m", signature
    return made


def load(version, **options) -> ServerMetrics:
    metrics = ServerMetrics()
    Loader("m", version, LoaderOptions(metrics=metrics, **options)).load().close()
    return metrics


def test_every_kind_of_record_is_replayed(version):
    """Classify, Regress and MultiInference warm up too, each as often as asked."""
    write(
        version,
        log("classify", "classify_x_to_y"),
        log("regress", "regress_x_to_y"),
        log("multi_inference", "regress_x_to_y"),
    )
    page = load(version, warmup_iterations=2).page()
    assert f':tensorflow:serving:model_warmup_records_read{{model_path="{version}",status="OK"}} 3\n' in page


def test_a_record_that_fails_keeps_the_version_from_serving(version):
    """The error is that of the request."""
    write(version, log("classify", "nope"))
    with pytest.raises(ServingError, match="No signature was found with the name: nope"):
        load(version)
    load(version, warm_up=False)


@pytest.mark.parametrize("cut", [3, 14, -2])
def test_a_file_that_is_cut_off_is_told(version, cut):
    """Wherever it ends, the message says what file is meant."""
    write(version, log("regress", "regress_x_to_y"))
    file = version / contract.WARMUP_FILE
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(ServingError, match=r"DATA_LOSS: corrupted record in .*verify your warmup data"):
        load(version)


def test_a_record_that_is_no_log_is_told(version):
    """A TFRecord of something else is not taken for a request."""
    with tf.io.TFRecordWriter(str(version / contract.WARMUP_FILE)) as writer:
        writer.write(b"\xff\xff\xff")
    with pytest.raises(ServingError, match="Failed to parse warmup record: 1 from"):
        load(version)


def test_too_many_records_are_refused(version):
    """As in TF Serving, a thousand are enough."""
    write(version, *[log("regress", "regress_flat")] * 1001)
    with pytest.raises(ServingError, match="exceeds the maximum \\(1000\\)"):
        load(version)
