"""TF Serving's messages without TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from scenery import wire
from scenery.wire.tensors import dtype_of, to_array, to_proto
from tests.processes import ROOT

DTYPES = ("f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8", "c16")


def test_the_descriptors_are_those_of_the_installed_package():
    """The data file is what tensorflow-serving-api gives today."""
    command = [sys.executable, ROOT / "scripts/wire_descriptors.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_neither_wire_nor_proxy_imports_tensorflow():
    """A client of the API carries no TensorFlow."""
    code = "import sys, proxy.app, proxy.server; assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_bytes_are_those_of_the_package():
    """A message made here is read by the generated classes."""
    from tensorflow_serving.apis import predict_pb2

    request = wire.PredictRequest()
    request.model_spec.name = "m"
    request.model_spec.version.value = 3
    request.inputs["x"].CopyFrom(to_proto(np.array([1.5, 2.5], np.float32)))
    read = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    assert (read.model_spec.name, read.model_spec.version.value) == ("m", 3)
    assert list(read.inputs["x"].float_val) == [1.5, 2.5]


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_go_there_and_back(dtype, as_content):
    """Every number type survives both encodings, and TensorFlow reads them the same."""
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    array = (np.arange(6) % 2 if dtype == "?" else np.arange(6)).astype(dtype).reshape(2, 3)
    proto = to_proto(array, as_content)
    np.testing.assert_array_equal(to_array(proto), array)
    theirs = tf.make_ndarray(tensor_pb2.TensorProto.FromString(proto.SerializeToString()))
    np.testing.assert_array_equal(theirs, array)
    assert dtype_of(proto.dtype) == array.dtype


def test_strings_go_there_and_back():
    """Bytes of any value survive."""
    array = np.array([[b"\xff\x00", b""]], object)
    np.testing.assert_array_equal(to_array(to_proto(array)), array)


@pytest.mark.parametrize(
    ("values", "expected"), [([7.0], [7, 7, 7]), ([1.0, 2.0], [1, 2, 2]), ([], [0, 0, 0]), ([1.0] * 5, [1, 1, 1])]
)
def test_the_last_value_stands_for_those_missing(values, expected):
    """A typed field may be shorter than its shape, or longer."""
    proto = wire.TensorProto(dtype=1, tensor_shape={"dim": [{"size": 3}]}, float_val=values)
    assert to_array(proto).tolist() == expected


@pytest.mark.parametrize(
    "broken",
    [
        {"dtype": 0},
        {"dtype": 1, "tensor_shape": {"unknown_rank": True}},
        {"dtype": 1, "tensor_shape": {"dim": [{"size": -1}]}},
        {"dtype": 1, "tensor_shape": {"dim": [{"size": 2}]}, "tensor_content": b"abc"},
        {"dtype": 1, "tensor_shape": {"dim": [{"size": 2**40}]}, "float_val": [1.0]},
        {"dtype": 7, "tensor_shape": {"dim": [{"size": 2**62}, {"size": 2**62}]}},
    ],
)
def test_unreadable_tensors_are_value_errors(broken):
    """A tensor that cannot be read says so, whatever is wrong with it."""
    with pytest.raises(ValueError, match=r"."):
        to_array(wire.TensorProto(**broken))
