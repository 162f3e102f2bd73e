"""Write the small SavedModels that the conformance cases serve.

Usage: ``python models.py DIR``

Every model is a few constants and element-wise ops, so answers are exact or
very nearly so. ``build(root)`` writes ``root/<model>/<version>/``; a scenario
copies what it needs from there into its own work folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

# The constant added by each version of half_plus_two: it tells which version answered.
HALF_PLUS_TWO_ADDENDS = {1: 2.0, 2: 20.0, 3: 200.0, 5: 5000.0}

DTYPES = (
    tf.float32,
    tf.float64,
    tf.float16,
    tf.bfloat16,
    tf.int8,
    tf.int16,
    tf.int32,
    tf.int64,
    tf.uint8,
    tf.uint16,
    tf.uint32,
    tf.uint64,
    tf.bool,
    tf.string,
    tf.complex64,
    tf.complex128,
)

LABELS = ("red", "green", "blue", "bright")


def half_plus_two(path: Path, addend: float, tags: tuple[str, ...] = ("serve",)) -> None:
    """A TF1-style SavedModel: y = x/2 + addend, as predict, regress and classify."""
    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        half = v1.get_variable("a", initializer=tf.constant(0.5), use_resource=True)
        plus = v1.get_variable("b", initializer=tf.constant(addend), use_resource=True)

        x = v1.placeholder(tf.float32, [None], name="x")
        y = tf.add(tf.multiply(half, x), plus, name="y")

        examples = v1.placeholder(tf.string, [None], name="tf_example")
        features = {
            "x": tf.io.FixedLenFeature([1], tf.float32),
            "x2": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0]),
        }
        parsed = v1.io.parse_example(examples, features, name="parsed")
        y_example = tf.add(tf.multiply(half, parsed["x"]), plus, name="y_example")
        y2_example = tf.add(tf.multiply(half, parsed["x2"]), plus, name="y2_example")
        flat = tf.reshape(y_example, [-1], name="y_example_flat")
        scores = tf.concat([y_example, -y_example], axis=1, name="scores")
        classes = tf.tile(tf.constant([["plus", "minus"]]), [tf.shape(scores)[0], 1], name="classes")

        def signature(inputs: dict, outputs: dict, method: str):
            info = v1.saved_model.utils.build_tensor_info
            return v1.saved_model.signature_def_utils.build_signature_def(
                {key: info(value) for key, value in inputs.items()},
                {key: info(value) for key, value in outputs.items()},
                method,
            )

        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(
            session,
            list(tags),
            signature_def_map={
                "serving_default": signature({"x": x}, {"y": y}, PREDICT),
                "predict_examples": signature({"inputs": examples}, {"y": y_example}, PREDICT),
                "regress_x_to_y": signature({"inputs": examples}, {"outputs": y_example}, REGRESS),
                "regress_x2_to_y": signature({"inputs": examples}, {"outputs": y2_example}, REGRESS),
                "regress_flat": signature({"inputs": examples}, {"outputs": flat}, REGRESS),
                "classify_x_to_y": signature({"inputs": examples}, {"scores": scores, "classes": classes}, CLASSIFY),
                "classify_scores": signature({"inputs": examples}, {"scores": scores}, CLASSIFY),
                "classify_classes": signature({"inputs": examples}, {"classes": classes}, CLASSIFY),
            },
        )
        builder.save()


def _save(path: Path, module: tf.Module, functions: dict[str, tuple]) -> None:
    """Save ``module`` with one signature per entry: name -> (python function, input specs)."""
    signatures = {}
    for name, (function, specs) in functions.items():
        traced = tf.function(function, input_signature=list(specs))
        setattr(module, f"signature_{name}", traced)
        signatures[name] = traced
    tf.saved_model.save(module, str(path), signatures=signatures)


def dtypes(path: Path) -> None:
    """One signature per dtype, named after it: any shape in, the same out as ``y``."""
    functions = {
        dtype.name: (lambda x: {"y": tf.identity(x)}, [tf.TensorSpec(None, dtype, name="x")]) for dtype in DTYPES
    }
    functions["serving_default"] = (lambda x: {"y": tf.identity(x)}, [tf.TensorSpec(None, tf.float32, name="x")])
    functions["divide"] = (lambda x: {"y": x / 0.0}, [tf.TensorSpec([None], tf.float32, name="x")])
    functions["divide64"] = (
        lambda x: {"y": x / tf.constant(3.0, tf.float64)},
        [tf.TensorSpec([None], tf.float64, name="x")],
    )
    functions["not"] = (lambda x: {"y": tf.logical_not(x)}, [tf.TensorSpec([None], tf.bool, name="x")])
    _save(path, tf.Module(), functions)


def bytes_model(path: Path) -> None:
    """Strings in and out, with and without the ``_bytes`` suffix that asks REST for base64."""
    spec = tf.TensorSpec([None], tf.string, name="data")
    _save(
        path,
        tf.Module(),
        {
            "serving_default": (lambda data: {"data_bytes": tf.identity(data)}, [spec]),
            "text": (lambda data: {"text": tf.strings.join([data, "!"])}, [spec]),
            "both": (lambda data: {"data_bytes": tf.identity(data), "length": tf.strings.length(data)}, [spec]),
            "image_bytes": (
                lambda image_bytes: {"length": tf.strings.length(image_bytes)},
                [tf.TensorSpec([None], tf.string, name="image_bytes")],
            ),
        },
    )


def multi(path: Path) -> None:
    """Two inputs and two outputs of different ranks, and outputs that row format cannot show."""
    a = tf.TensorSpec([None], tf.float32, name="a")
    b = tf.TensorSpec([None, 2], tf.float32, name="b")

    def serving_default(a, b):
        return {"sum": a + tf.reduce_sum(b, axis=1), "scaled": b * a[:, tf.newaxis]}

    _save(
        path,
        tf.Module(),
        {
            "serving_default": (serving_default, [a, b]),
            "mixed": (
                lambda ids, names: {"ids": ids + 1, "names": tf.strings.upper(names)},
                [tf.TensorSpec([None], tf.int64, name="ids"), tf.TensorSpec([None], tf.string, name="names")],
            ),
            "two_outputs": (
                lambda x: {"double": x * 2.0, "square": x * x},
                [tf.TensorSpec([None], tf.float32, name="x")],
            ),
            "scalar_output": (lambda x: {"total": tf.reduce_sum(x)}, [tf.TensorSpec([None], tf.float32, name="x")]),
            "uneven_outputs": (
                lambda x: {"y": x, "three": tf.constant([1.0, 2.0, 3.0])},
                [tf.TensorSpec([None], tf.float32, name="x")],
            ),
        },
    )


def shapes(path: Path) -> None:
    """The same sum over inputs of a scalar, fixed, partly known, and unknown shape."""

    def spec(shape):
        return [tf.TensorSpec(shape, tf.float32, name="x")]

    _save(
        path,
        tf.Module(),
        {
            "serving_default": (lambda x: {"y": x + 1.0}, spec([None])),
            "scalar": (lambda x: {"y": x + 1.0}, spec([])),
            "fixed": (lambda x: {"y": x + 1.0}, spec([2, 2])),
            "matrix": (lambda x: {"y": tf.reduce_sum(x, axis=1)}, spec([None, 3])),
            "cube": (lambda x: {"y": x * 2.0}, spec([None, None, None])),
            "unknown_rank": (lambda x: {"y": x + 1.0}, spec(None)),
            "matmul": (lambda x: {"y": tf.matmul(x, tf.constant([[1.0], [2.0], [3.0]]))}, spec(None)),
        },
    )


def slow(path: Path) -> None:
    """Sleep for ``seconds`` (the largest of the batch), then return it."""

    def serving_default(seconds):
        micros = tf.cast(tf.reduce_max(seconds) * 1e6, tf.int64)
        dataset = tf.data.Dataset.range(1)
        variant = tf.raw_ops.SleepDataset(
            input_dataset=dataset._variant_tensor,
            sleep_microseconds=micros,
            output_types=[tf.int64],
            output_shapes=[[]],
        )
        zero = tf.raw_ops.DatasetToSingleElement(dataset=variant, output_types=[tf.int64], output_shapes=[[]])[0]
        return {"slept": seconds + tf.cast(zero, tf.float32)}

    _save(
        path,
        tf.Module(),
        {
            "serving_default": (serving_default, [tf.TensorSpec([None], tf.float32, name="seconds")]),
        },
    )


def image(path: Path) -> None:
    """Encoded images to four scores; ``describe`` takes nothing and returns the labels."""

    def serving_default(image_bytes):
        def score(data):
            pixels = tf.io.decode_image(data, channels=3, expand_animations=False)
            means = tf.reduce_mean(tf.cast(pixels, tf.float32), axis=[0, 1]) / 255.0
            return tf.concat([means, tf.reduce_mean(means, keepdims=True)], axis=0)

        scores = tf.map_fn(score, image_bytes, fn_output_signature=tf.TensorSpec([4], tf.float32))
        return {"scores": scores}

    _save(
        path,
        tf.Module(),
        {
            "serving_default": (serving_default, [tf.TensorSpec([None], tf.string, name="image_bytes")]),
            "describe": (lambda: {"labels": tf.constant(LABELS)}, []),
        },
    )


def no_default(path: Path) -> None:
    """A model whose only signature is not called serving_default."""
    _save(
        path,
        tf.Module(),
        {
            "triple": (lambda x: {"y": x * 3.0}, [tf.TensorSpec([None], tf.float32, name="x")]),
        },
    )


def tf2_examples(path: Path) -> None:
    """TF2 signatures usable for classify and regress although their method is predict."""

    def parse(inputs):
        return tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]

    def classify(inputs):
        x = parse(inputs)
        classes = tf.tile(tf.constant([["small", "large"]]), [tf.shape(x)[0], 1])
        return {"scores": tf.concat([1.0 - x, x], axis=1), "classes": classes}

    spec = [tf.TensorSpec([None], tf.string, name="inputs")]
    _save(
        path,
        tf.Module(),
        {
            "serving_default": (classify, spec),
            "regression": (lambda inputs: {"outputs": parse(inputs) * 10.0}, spec),
            "scores_wrong_rank": (lambda inputs: {"scores": tf.reshape(parse(inputs), [-1])}, spec),
            "wrong_output": (lambda inputs: {"value": parse(inputs)}, spec),
        },
    )


def write_warmup(path: Path, signature_name: str) -> None:
    """Add assets.extra/tf_serving_warmup_requests with one Predict record."""
    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name="warmup", signature_name=signature_name))
    request.inputs["x"].dtype = types_pb2.DT_FLOAT
    request.inputs["x"].tensor_shape.dim.add().size = 2
    request.inputs["x"].float_val.extend([1.0, 2.0])
    log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
    folder = path / "assets.extra"
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


def build(root: Path) -> None:
    """Write every model under ``root``."""
    for version, addend in HALF_PLUS_TWO_ADDENDS.items():
        half_plus_two(root / "half_plus_two" / str(version), addend)
    half_plus_two(root / "tagged" / "1", 7.0, tags=("serve", "fancy"))
    dtypes(root / "dtypes" / "1")
    bytes_model(root / "bytes" / "1")
    multi(root / "multi" / "1")
    shapes(root / "shapes" / "1")
    slow(root / "slow" / "1")
    image(root / "image" / "1")
    no_default(root / "no_default" / "1")
    tf2_examples(root / "tf2_examples" / "1")

    half_plus_two(root / "warmup_good" / "1", 2.0)
    write_warmup(root / "warmup_good" / "1", "serving_default")
    half_plus_two(root / "warmup_bad" / "1", 2.0)
    write_warmup(root / "warmup_bad" / "1", "no_such_signature")

    half_plus_two(root / "broken" / "1", 2.0)
    graph = root / "broken" / "1" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:100])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} DIR")
    build(Path(sys.argv[1]))
