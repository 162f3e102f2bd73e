"""A version as ``scenery export`` writes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from export.freeze import fold_batch_norms, freeze
from scenery import contract, versions
from scenery.errors import ExportError
from tests.processes import PHOTOS


@pytest.fixture(scope="module")
def session_and_signatures(exported):
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(exported / "1"))
    yield session, meta_graph.signature_def
    session.close()


@pytest.fixture(scope="module")
def network(run_dir):
    return keras.models.load_model(run_dir / "best.keras")


def test_the_signatures_keep_the_contract(session_and_signatures):
    """Names, types and shapes are those that clients were promised."""
    _, signatures = session_and_signatures

    def shapes(infos):
        return {
            name: (tf.dtypes.as_dtype(info.dtype).name, [d.size for d in info.tensor_shape.dim])
            for name, info in infos.items()
        }

    scores = {"scores": ("float32", [-1, 4])}
    classify, pixels, describe = (
        signatures[name]
        for name in (contract.SIGNATURE_CLASSIFY, contract.SIGNATURE_PIXELS, contract.SIGNATURE_DESCRIBE)
    )
    assert shapes(classify.inputs) == {"image_bytes": ("string", [-1])}
    assert shapes(classify.outputs) == shapes(pixels.outputs) == scores
    assert shapes(pixels.inputs) == {"image": ("uint8", [-1, 96, 96, 3])}
    assert shapes(describe.inputs) == {}
    card = {"model_card": ("string", [])}
    assert shapes(describe.outputs) == card | {
        "labels": ("string", [4]),
        "thresholds": ("float32", [4]),
        "provenance": ("string", []),
    }


def test_it_answers_as_the_network_did(session_and_signatures, network):
    """Photos through the graph, whole or as pixels, get the scores that Keras gives, to 1e-5."""
    from scenery import preprocess

    session, signatures = session_and_signatures
    photos = [(PHOTOS / f"{number:04d}.jpg").read_bytes() for number in range(100, 110)]
    pixels = preprocess.decode_batch(tf.constant(photos), (96, 96)).numpy()
    expected = network.predict(preprocess.scale(pixels), verbose=0)
    classify, from_pixels = signatures["serving_default"], signatures["pixels"]
    scores = classify.outputs["scores"].name
    served = session.run(scores, {classify.inputs["image_bytes"].name: photos})
    np.testing.assert_allclose(served, expected, atol=1e-5)
    served = session.run(scores, {from_pixels.inputs["image"].name: pixels})
    np.testing.assert_allclose(served, expected, atol=1e-5)


def test_it_describes_itself(session_and_signatures, run_dir):
    """Labels, thresholds and provenance are the run's."""
    session, signatures = session_and_signatures
    outputs = signatures["describe"].outputs
    labels, thresholds, provenance = session.run(
        [outputs[name].name for name in ("labels", "thresholds", "provenance")]
    )
    run = json.loads((run_dir / "run.json").read_text())
    assert [label.decode() for label in labels] == run["labels"]
    assert thresholds == pytest.approx(run["thresholds"])
    told = json.loads(provenance)
    assert told["version"] == 1
    assert told["metrics"] == run["metrics"]
    assert told["data_digest"] == run["provenance"]["data_digest"]


def test_no_batch_normalisation_and_no_variable_is_left(exported):
    """The graph is constants, each convolution with its normalisation folded in."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel.FromString((exported / "1/saved_model.pb").read_bytes())
    graph = saved_model.meta_graphs[0].graph_def
    operations = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
    assert not {"FusedBatchNormV3", "Rsqrt", "VarHandleOp", "VariableV2", "ReadVariableOp"} & operations


def test_warmup_records_are_there(exported):
    """A model server finds requests to replay before it calls the version AVAILABLE."""
    from tensorflow_serving.apis import prediction_log_pb2

    path = exported / "1" / contract.WARMUP_FILE
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in tf.data.TFRecordDataset([str(path)])
    ]
    signatures = [log.predict_log.request.model_spec.signature_name for log in logs]
    assert set(signatures) == {"serving_default", "pixels", "describe"}


def test_an_export_that_answers_otherwise_is_not_published(run_dir, tmp_path):
    """If the golden scores are not reached, nothing appears among the versions."""
    import shutil

    from export.export import export

    changed = shutil.copytree(run_dir, tmp_path / "run")
    scores = changed / "golden/scores.json"
    golden = json.loads(scores.read_text())
    golden[next(iter(golden))][0] += 0.01
    scores.write_text(json.dumps(golden))
    with pytest.raises(ExportError, match="away from the trained network"):
        export(changed, tmp_path / "models")
    assert versions.list_versions(tmp_path / "models") == []


@pytest.mark.parametrize("missing", ["run.json", "golden/scores.json", "best.keras"])
def test_an_incomplete_run_is_named(run_dir, tmp_path, missing):
    """A folder that is no run says what is missing."""
    import shutil

    from export.export import export

    broken = shutil.copytree(run_dir, tmp_path / "run")
    (broken / missing).unlink()
    with pytest.raises(ExportError, match=Path(missing).name):
        export(broken, tmp_path / "models")


def test_json_is_for_scripts(run_dir, model_dir):
    """``--json`` prints one object, and the second export of a run is version 2."""
    command = [sys.executable, "-m", "scenery", "export", str(run_dir), "--models-dir", str(model_dir.parent), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["version"] == 2
    assert Path(told["path"]) == model_dir / "2"
    assert told["largest_difference"] < 1e-4
    assert versions.list_versions(model_dir) == [1, 2]


def test_a_name_cannot_lead_elsewhere(run_dir, tmp_path):
    """A version is written below the folder of models, and nowhere else."""
    command = [sys.executable, "-m", "scenery", "export", str(run_dir), "--models-dir", str(tmp_path / "models")]
    done = subprocess.run([*command, "--model-name", "../elsewhere"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_a_taken_version_is_an_error(run_dir, model_dir):
    """An explicit number that exists is refused, and nothing changes."""
    command = [
        sys.executable,
        "-m",
        "scenery",
        "export",
        str(run_dir),
        "--models-dir",
        str(model_dir.parent),
        "--version",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "exists already" in done.stderr.splitlines()[-1]
    assert sorted(child.name for child in model_dir.iterdir()) == [".last-version", ".publishing.lock", "1"]


def test_folding_keeps_the_function():
    """Whatever the statistics, the folded network is the same function."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 3, use_bias=False)(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.DepthwiseConv2D(3, use_bias=False)(keras.layers.ReLU(6.0)(x))
    x = keras.layers.BatchNormalization()(x)
    network = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    for layer in network.layers:
        layer.set_weights([np.random.default_rng(2).uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    images = np.random.default_rng(3).normal(size=(4, 8, 8, 3)).astype(np.float32)
    folded = fold_batch_norms(network)
    np.testing.assert_allclose(folded(images), network(images, training=False), rtol=1e-5)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)


def test_a_bias_before_the_norm_is_folded_too():
    """As in ResNet: the convolution has a bias of its own, and a norm may lack scale or centre."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 3)(inputs)
    x = keras.layers.BatchNormalization(scale=False)(x)
    x = keras.layers.Conv2D(6, 1)(x)
    network = keras.Model(inputs, keras.layers.BatchNormalization(center=False)(x))
    for layer in network.layers:
        layer.set_weights([np.random.default_rng(2).uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    images = np.random.default_rng(3).normal(size=(4, 8, 8, 3)).astype(np.float32)
    folded = fold_batch_norms(network)
    np.testing.assert_allclose(folded(images), network(images, training=False), rtol=1e-4)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)


def test_a_norm_that_follows_no_convolution_stays():
    """Networks that normalise before they convolve, or after an activation, are the same function, too."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 3, activation="relu")(keras.layers.BatchNormalization(name="first")(inputs))
    network = keras.Model(inputs, keras.layers.BatchNormalization(name="second")(x))
    for layer in network.layers:
        layer.set_weights([np.random.default_rng(2).uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    images = np.random.default_rng(3).normal(size=(4, 8, 8, 3)).astype(np.float32)
    folded = fold_batch_norms(network)
    np.testing.assert_allclose(folded(images), network(images, training=False), rtol=1e-4)
    assert {layer.name for layer in folded.layers} >= {"first", "second"}


@pytest.mark.parametrize("backbone", ["ResNet50", "EfficientNetB0"])
def test_other_backbones_are_exported_as_well(backbone):
    """Frozen, with operations that the gate allows, they score as the trained network does."""
    from export.gate.operations import allowed
    from training.config import TrainingConfig
    from training.network import build_network

    config = TrainingConfig(False, 4, 1, 1e-4, Path("m.keras"), backbone=backbone, backbone_weights="random")
    network = build_network((32, 32), 3, config)
    frozen = freeze(network, (32, 32))
    assert {node.op for node in frozen.graph_def.node} <= allowed()
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(frozen.graph_def, name="")
        scores = session.run(frozen.output_name, {frozen.input_name: images})
    np.testing.assert_allclose(scores, network(images / np.float32(127.5) - 1, training=False), atol=1e-5)
