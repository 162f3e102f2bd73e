"""``--precision``: the network as ``model.tflite``, held against the SavedModel that it stands for."""

from __future__ import annotations

import csv
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from export.export import Lite
from export.freeze import FrozenNetwork
from export.gate.evaluation import read_evaluation
from export.gate.gate import Gate
from export.gate.lite import LiteVersion
from export.gate.precision import check_precision, is_within
from export.lite.biases import correct_biases, rounded
from export.lite.calibration import MOST_PHOTOS, calibration_photos, calibration_pixels
from export.lite.convert import write_lite
from export.publish import publish
from export.trained_run import TrainedRun, read_run
from scenery import contract
from scenery.cli import scenery
from scenery.errors import ExportError
from scenery.lite import FILE_NAME, LiteModel
from scenery.loaded import LoadedVersion
from scenery.manifest import verify_manifest, write_manifest
from tests.processes import PHOTOS, ROOT, model_server

SIZE = 96
MARGIN = 0.2
"""Few photos, and a network that has learned little: one photo moves its average precision far."""


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory) -> Path:
    """Some labelled photos of the shipped evaluation set."""
    with (ROOT / "examples/photos/evaluation.csv").open() as stream:
        header, *rows = csv.reader(stream)
    table = tmp_path_factory.mktemp("evaluation") / "few.csv"
    few = [row for row in rows if "1" in row[1:]][:24]
    table.write_text("\n".join(",".join(row) for row in [header, *few]) + "\n")
    return table


@pytest.fixture(scope="module")
def exported_in_int8(run_dir, evaluation, tmp_path_factory) -> Path:
    """Version 1 as ``scenery export --precision int8`` writes it; ``told.json`` beside it is what it printed."""
    models = tmp_path_factory.mktemp("int8")
    options = ["--evaluation", str(evaluation), "--photos", str(PHOTOS), "--precision-margin", str(MARGIN), "--json"]
    command = ["export", str(run_dir), "--models-dir", str(models), *options, "--precision", "int8"]
    answer = CliRunner().invoke(scenery, command, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    (models / "told.json").write_text(answer.stdout)
    return models / "scenery" / "1"


@pytest.fixture
def version(exported_in_int8, tmp_path) -> Path:
    return shutil.copytree(exported_in_int8, tmp_path / "candidate")


@pytest.fixture
def run(run_dir, tmp_path) -> TrainedRun:
    return read_run(shutil.copytree(run_dir, tmp_path / "run"))


@pytest.fixture(params=["Conv2D", "DepthwiseConv2dNative"])
def network(request) -> FrozenNetwork:
    """A convolution whose padding is its own, and the mean of each channel: uint8 [n, 8, 8, 3] → ``scores``."""
    random = np.random.default_rng(0)
    channels = 5 if request.param == "Conv2D" else 3
    kernel = random.normal(size=(3, 3, 3, channels if request.param == "Conv2D" else 1)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.uint8, [None, 8, 8, 3], name="image")
        padding = {"padding": "EXPLICIT", "explicit_paddings": [0, 0, 0, 1, 0, 1, 0, 0]}
        convolve = getattr(tf.raw_ops, request.param)
        convolved = convolve(
            input=tf.cast(image, tf.float32), filter=tf.constant(kernel, name="kernel"), strides=[1, 2, 2, 1], **padding
        )
        biased = tf.nn.bias_add(convolved, random.normal(size=channels).astype(np.float32))
        tf.reduce_mean(biased, axis=[1, 2], name="scores")
    return FrozenNetwork(graph.as_graph_def(), "image:0", "scores:0")


def run_network(network: FrozenNetwork, pixels: np.ndarray) -> np.ndarray:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(network.graph_def, name="")
        return session.run(network.output_name, {network.input_name: pixels})


def with_rounded_kernel(network: FrozenNetwork) -> FrozenNetwork:
    """Return a network as it is when its kernel is int8."""
    graph_def = tf.compat.v1.GraphDef()
    graph_def.CopyFrom(network.graph_def)
    (kernel,) = (node.attr["value"].tensor for node in graph_def.node if node.name == "kernel")
    values = tf.make_ndarray(kernel)
    kernel.CopyFrom(tf.make_tensor_proto(rounded(values, 3 if values.shape[3] > 1 else 2)))
    return FrozenNetwork(graph_def, network.input_name, network.output_name)


def gate(evaluation: Path, *forced: str, margin: float = MARGIN) -> Gate:
    return Gate(evaluation, PHOTOS, precision_margin=margin, latency_ratio=50.0, forced=frozenset(forced))


def test_the_version_says_what_it_holds(exported_in_int8):
    """Provenance and model card tell the precision, the manifest names the file, the command what was compared."""
    verify_manifest(exported_in_int8)
    assert f"  {FILE_NAME}\n" in (exported_in_int8 / contract.MANIFEST_FILE).read_text()
    with LoadedVersion(exported_in_int8) as loaded:
        description = loaded.describe()
    assert description.provenance["precision"] == {"saved_model.pb": "float32", FILE_NAME: "int8"}
    assert f"Its `{FILE_NAME}` computes in int8." in description.card
    compared = json.loads((exported_in_int8.parent.parent / "told.json").read_text())["precision"]
    assert compared["fine"]
    assert compared["figures"]["photos"] == 24
    assert compared["figures"]["same_decisions"] > 0.8


def test_int8_is_a_quarter_and_nearly_the_same(exported_in_int8):
    """Its scores are rounded: none far away, hardly one equal."""
    size = (exported_in_int8 / FILE_NAME).stat().st_size
    assert size < (exported_in_int8 / "saved_model.pb").stat().st_size / 3
    with LoadedVersion(exported_in_int8) as whole, LiteVersion(exported_in_int8) as lite:
        photos = [(PHOTOS / f"{number:04d}.jpg").read_bytes() for number in range(100, 110)]
        differences = np.array([np.abs(lite.classify(photo) - whole.classify(photo)) for photo in photos])
        assert lite.describe() == whole.describe()
    assert 1e-4 < differences.mean() < 0.05


def test_float32_is_the_same(network, tmp_path):
    """LiteRT gives the scores that TensorFlow gives, but for rounding of floats, for any number of photos."""
    write_lite(tmp_path, network, (8, 8), None)
    lite = LiteModel(tmp_path / FILE_NAME)
    for photos in (1, 3):
        pixels = np.random.default_rng(photos).integers(0, 256, (photos, 8, 8, 3), np.uint8)
        scores = lite.run("pixels", {"image": pixels})["scores"]
        np.testing.assert_allclose(scores, run_network(network, pixels), rtol=1e-5)


def test_a_server_answers_in_int8(exported_in_int8, photo, tmp_path):
    """Over gRPC, many at a time, as the gate saw it; and over REST that the version still describes itself."""
    flags = ("--model_name=scenery", f"--model_base_path={exported_in_int8.parent}", "--grpc_max_threads=64")
    with LoadedVersion(exported_in_int8) as whole, LiteVersion(exported_in_int8) as lite:
        by_tensorflow, expected = whole.classify(photo), lite.classify(photo)
    assert np.abs(expected - by_tensorflow).max() > 1e-4
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "scenery"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([photo]))
    with (
        model_server(tmp_path, *flags, "--prefer_tflite_model") as server,
        grpc.insecure_channel(server.grpc) as channel,
        ThreadPoolExecutor(8) as callers,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answers = list(callers.map(lambda _: stub.Predict(request, timeout=60), range(24)))
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([photo] * 3))
        answers.append(stub.Predict(request, timeout=60))
        describe = predict_pb2.PredictRequest()
        describe.model_spec.CopyFrom(answers[0].model_spec)
        describe.model_spec.signature_name = "describe"
        labels = stub.Predict(describe, timeout=60).outputs["labels"].string_val
    assert len(labels) == 4
    for answer in answers:
        for scores in tf.make_ndarray(answer.outputs["scores"]):
            np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_the_gate_records_the_comparison(version, evaluation, tmp_path):
    """A SavedModel with a ``model.tflite`` is published with it, and ``gate.json`` has the figures."""
    published = publish(version, tmp_path / "scenery", gate(evaluation), Path("none"))
    assert published.path is not None, published.verdicts
    assert (published.path / FILE_NAME).read_bytes() == (version / FILE_NAME).read_bytes()
    report = json.loads((published.path / contract.GATE_FILE).read_text())
    (check,) = [each for each in report["checks"] if each["check"] == "precision"]
    assert report["limits"]["precision_margin"] == MARGIN
    assert check["verdict"] == "passed"
    assert check["figures"]["margin"] == MARGIN


def write_upside_down(file: Path, folder: Path) -> None:
    """Write a ``model.tflite`` that gives a photo the less of a label the brighter it is."""

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.uint8, "image")])
    def darkness(image):
        bright = tf.reduce_mean(tf.cast(image, tf.float32), axis=[1, 2, 3]) / 255
        return {"scores": tf.stack([1 - bright] * 4, axis=1)}

    tf.saved_model.save(tf.Module(), folder, {"pixels": darkness})
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["pixels"])
    file.write_bytes(converter.convert())


@pytest.mark.parametrize("file", ["worse", "damaged"])
def test_the_gate_refuses(version, evaluation, tmp_path, file):
    """A ``model.tflite`` that is worse, or cannot be loaded, stops the version, and only that check does."""
    if file == "worse":
        write_upside_down(version / FILE_NAME, tmp_path / "between")
    else:
        (version / FILE_NAME).write_bytes(b"no model")
    write_manifest(version)
    published = publish(version, tmp_path / "scenery", gate(evaluation, margin=0.005), Path("none"))
    assert published.path is None
    assert published.stopped_by == ["precision"]


def test_neither_the_mean_nor_a_label_may_be_worse(version, evaluation, tmp_path):
    """Either margin refuses by itself."""
    write_upside_down(version / FILE_NAME, tmp_path / "between")
    with LoadedVersion(version) as candidate:
        by_mean, by_label = (
            check_precision(candidate, read_evaluation(evaluation, PHOTOS), *margins) for margins in ((0, 1), (1, 0.05))
        )
    assert not by_mean.fine
    assert "F1" not in by_mean.detail
    assert not by_label.fine
    assert "(0.05 less allowed)" in by_label.detail


def test_only_a_run_has_a_network_to_convert(version, evaluation, tmp_path):
    """A SavedModel is published as it is."""
    with pytest.raises(ExportError, match="is no run, and only the network of a run has another precision"):
        publish(version, tmp_path / "scenery", gate(evaluation), Path("none"), lite=Lite("int8"))


def test_calibration_is_for_int8_only(run_dir):
    """What has no effect is refused, not ignored."""
    answer = CliRunner().invoke(scenery, ["export", str(run_dir), "--calibration", str(PHOTOS)])
    assert answer.exit_code == 2
    assert "--calibration is for --precision int8." in answer.output


@pytest.mark.parametrize("option", ["--precision-margin=0.1", "--evaluation=few.csv", "--photos=."])
def test_what_only_judges_needs_something_to_judge(run_dir, tmp_path, option):
    """As for --calibration: without --precision these have no effect."""
    answer = CliRunner().invoke(scenery, ["export", str(run_dir), "--models-dir", str(tmp_path), option])
    assert answer.exit_code == 2
    assert f"{option.partition('=')[0]} is for --precision." in answer.output


@pytest.mark.parametrize(
    ("before", "after", "fine"),
    [(0.5007, 0.4957, True), (0.5007, 0.4956, False), (0.5, 0.6, True), (0.5, float("nan"), False)],
)
def test_exactly_the_margin_is_fine(before, after, fine):
    """Whatever floating point makes of it; what is no number is not."""
    assert is_within(before, after, 0.005) is fine


def parts_of(run: TrainedRun, photos: list[Path]) -> set[str]:
    with (run.folder / "split.csv").open() as stream:
        parts = {row["name"]: row["part"] for row in csv.DictReader(stream)}
    return {parts[photo.name] for photo in photos}


@pytest.mark.parametrize("folder", [None, PHOTOS], ids=["as the run says", "named"])
def test_calibration_takes_training_photos(run, folder):
    """Never those that the model is judged by, though they lie in the same folder."""
    photos = calibration_photos(run, folder)
    assert parts_of(run, photos) == {"train"}
    pixels = calibration_pixels(run, folder)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (min(len(photos), MOST_PHOTOS), SIZE, SIZE, 3)


def test_without_training_photos_others_must_be_named(run, tmp_path):
    """Those of a folder that is named are taken; the golden ones never, for the version is judged by them."""
    (run.folder / "split.csv").unlink()
    folder = tmp_path / "others"
    folder.mkdir()
    with pytest.raises(ExportError, match=r"has no photo to calibrate int8 on\..*--calibration"):
        calibration_photos(run, folder)
    with pytest.raises(ExportError, match=r"run was trained on are not here\. Name a folder .* --calibration\."):
        calibration_photos(run, None)
    shutil.copy(PHOTOS / "0003.jpg", folder)
    assert calibration_photos(run, folder) == [folder / "0003.jpg"]


def test_a_run_that_names_no_folder_has_its_photos_beside_it(run):
    """An empty ``images_base_path`` means the run's own folder."""
    (run.folder / "data_config.yaml").write_text("images_base_path:\nimage_name_col: name\n")
    with (run.folder / "split.csv").open() as stream:
        first = next(row["name"] for row in csv.DictReader(stream) if row["part"] == "train")
    shutil.copy(PHOTOS / first, run.folder)
    assert calibration_photos(run, None) == [run.folder / first]


def test_a_photo_that_cannot_be_decoded_is_named(run, tmp_path):
    """It is not left out in silence."""
    (run.folder / "split.csv").unlink()
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    with pytest.raises(ExportError, match=r"broken\.jpg cannot be used to calibrate int8"):
        calibration_pixels(run, tmp_path)


def test_biases_make_up_for_rounded_kernels(network):
    """With its kernel rounded, a corrected convolution gives each channel the mean that it had."""
    pixels = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3), np.uint8)
    in_int8 = with_rounded_kernel(network)
    corrected = with_rounded_kernel(correct_biases(network, pixels))
    expected, wrong, right = (run_network(each, pixels).mean(axis=0) for each in (network, in_int8, corrected))
    assert np.abs(wrong - expected).max() > 0.01
    np.testing.assert_allclose(right, expected, atol=1e-3)


def test_what_litert_has_no_operation_for_is_told(tmp_path):
    """The converter's own error is long; its first line and a way out are enough."""
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.uint8, [None, 8, 8, 3], name="image")
        tf.raw_ops.Betainc(a=tf.cast(image, tf.float32), b=1.0, x=0.5, name="scores")
    network = FrozenNetwork(graph.as_graph_def(), "image:0", "scores:0")
    with pytest.raises(ExportError, match=r"cannot be written as model\.tflite: .*Export it without --precision\."):
        write_lite(tmp_path, network, (8, 8), None)
