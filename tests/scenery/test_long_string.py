"""A long string in a serialized request."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scenery import wire
from scenery.wire.long_string import with_string


@pytest.mark.parametrize("length", [0, 1, 60, 127, 128, 16_383, 16_384, 3_000_000])
def test_the_bytes_are_those_of_protobuf(length):
    """Whatever the length, nobody can tell who serialized the request."""
    request = wire.PredictRequest(model_spec={"name": "m", "version_label": "stable"}, output_filter=["scores"])
    value = bytes(range(256)) * (length // 256 + 1)
    whole = wire.PredictRequest()
    whole.CopyFrom(request)
    string = whole.inputs["ä" * 100]
    string.dtype = wire.enum_values("tensorflow.DataType")["DT_STRING"]
    string.tensor_shape.dim.add(size=1)
    string.string_val.append(value[:length])
    assert wire.PredictRequest.FromString(with_string(request, "ä" * 100, value[:length])) == whole


GROWN = """
import resource
from scenery import wire
from scenery.wire.long_string import with_string
value = b"x" * 64_000_000
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with_string(wire.PredictRequest(), "image_bytes", value)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_string_is_copied_once():
    """A process grows by the string, hardly more; by way of protobuf it would grow by three."""
    done = subprocess.run([sys.executable, "-c", GROWN], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 1.3 * 64_000_000
