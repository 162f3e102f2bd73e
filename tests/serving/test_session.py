"""The TensorFlow runtime by its C API: every type of tensor goes in and comes out."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from scenery import wire
from scenery.wire.tensors import BFLOAT16
from serving.errors import ServingError
from serving.runtime.session import Session
from tests.conformance import models


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    """A model that has a signature for each type, which returns its input."""
    folder = tmp_path_factory.mktemp("dtypes")
    models.dtypes(folder)
    session = Session(folder, ["serve"])
    yield session
    session.close()


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A model that sleeps for as many seconds as it is told."""
    folder = tmp_path_factory.mktemp("slow")
    models.slow(folder)
    session = Session(folder, ["serve"])
    yield session
    session.close()


def through(session: Session, name: str, array):
    signature = session.meta_graph.signature_def[name]
    (answer,) = session.run({signature.inputs["x"].name: array}, [signature.outputs["y"].name])
    return answer


NUMBERS = ("float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@pytest.mark.parametrize("name", [*NUMBERS, "bool", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_numbers_come_out_as_they_went_in(identity, name, shape):
    """Type, shape and every value are kept, for scalars and empty tensors too."""
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(name)
    answer = through(identity, name, array)
    assert (answer.dtype, answer.shape) == (array.dtype, array.shape)
    assert np.array_equal(answer, array)


def test_an_array_in_another_order_is_copied_in_ours(identity):
    """A transposed array is the array that it shows."""
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T
    assert np.array_equal(through(identity, "float32", array), array)


def test_bfloat16_keeps_its_bits(identity):
    """NumPy does not know the type; its bits are kept."""
    array = np.array([0x3F80, 0xC000], np.uint16).view(BFLOAT16)
    assert np.array_equal(through(identity, "bfloat16", array), array)


@pytest.mark.parametrize("shape", [(), (0,), (4,), (2, 2)])
def test_strings_come_out_as_they_went_in(identity, shape):
    """Of any length, with zero bytes, short ones (kept in place) and long ones (on the heap)."""
    array = np.empty(shape, object)
    array.flat = [b"", b"a\0b", b"x" * 22, b"y" * 100_000][: array.size]
    answer = through(identity, "string", array)
    assert answer.shape == shape
    assert answer.tolist() == array.tolist()


def test_many_threads_run_at_a_time(identity):
    """Each gets its own answer."""
    wrong = []

    def call(number: int) -> None:
        for step in range(200):
            array = np.array([b"%d-%d" % (number, step)] * 3, object)
            if through(identity, "string", array).tolist() != array.tolist():
                wrong.append((number, step))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_errors_are_the_runtimes_own(identity):
    """Code and text are what TensorFlow Serving's clients know."""
    with pytest.raises(ServingError, match="INVALID_ARGUMENT: Expects arg\\[0\\] to be float but int32 is provided"):
        through(identity, "float32", np.array([1], np.int32))


@pytest.mark.parametrize("name", ["none:0", "x", "x:99", ""])
def test_a_tensor_that_is_not_there_is_named(identity, name):
    """A signature that names nothing of the graph fails, and nothing crashes."""
    with pytest.raises(ServingError, match=f"FeedInputs: unable to find feed output {name}"):
        identity.run({name: np.zeros(1, np.float32)}, [])


def test_a_run_is_given_up_at_its_timeout(slow):
    """The graph is cancelled, and the next run works."""
    signature = slow.meta_graph.signature_def["serving_default"]
    feed, fetch = signature.inputs["seconds"].name, signature.outputs["slept"].name
    started = time.monotonic()
    with pytest.raises(ServingError, match="DEADLINE_EXCEEDED: Timed out waiting for notification"):
        slow.run({feed: np.array([60.0], np.float32)}, [fetch], timeout_seconds=0.2)
    assert time.monotonic() - started < 30
    assert slow.run({feed: np.zeros(1, np.float32)}, [fetch], timeout_seconds=30)[0] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "NOT_FOUND: Could not find SavedModel"), (b"\x08", "OUT_OF_RANGE|DATA_LOSS|INVALID_ARGUMENT|INTERNAL")],
)
def test_a_folder_without_a_savedmodel_is_refused(tmp_path, content, message):
    """With the runtime's own message; nothing crashes."""
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ServingError, match=message):
        Session(tmp_path, ["serve"])


def test_the_library_keeps_its_symbols_to_itself():
    """It has a copy of OpenSSL inside; Python's own goes on working after it was opened."""
    program = "import serving.runtime.session, hashlib, ssl; print(hashlib.sha256(b'').hexdigest())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("e3b0c442")


def test_another_set_of_tags_is_found(tmp_path):
    """A meta graph is chosen by its tags, and only by all of them."""
    models.half_plus_two(tmp_path / "1", 7.0, tags=("serve", "fancy"))
    session = Session(tmp_path / "1", ["fancy", "serve"], wire.ConfigProto(intra_op_parallelism_threads=1))
    assert session.run({"x:0": np.array([1.0], np.float32)}, ["y:0"])[0] == 7.5
    session.close()
    with pytest.raises(ServingError, match="NOT_FOUND: Could not find meta graph def matching supplied tags"):
        Session(tmp_path / "1", ["serve"])
