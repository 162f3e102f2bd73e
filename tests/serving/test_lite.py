"""``--prefer_tflite_model``: LiteRT computes what is in a version's ``model.tflite``, TensorFlow the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from scenery import wire
from scenery.lite import FILE_NAME, LiteModel
from serving.batching import BatchingOptions
from serving.errors import ServingError
from serving.flags import parse_flags
from serving.loader import Loader, LoaderOptions
from serving.saved_model import SavedModel
from serving.server import serve
from tests.processes import ROOT, free_ports, http, model_server, wait_until

_V1 = tf.compat.v1
BY_TENSORFLOW, BY_LITERT = 1.0, 1.25
"""What is added to half of x, so that an answer tells who computed it."""
BY_LITERT_FROM_HALF = 1.5
"""The same, where the caller brings the half."""


def write_saved_model(folder: Path) -> None:
    """Write a model whose ``serving_default`` reads numbers from text, and ``numbers`` takes them."""
    with tf.Graph().as_default(), _V1.Session() as session:
        text = _V1.placeholder(tf.string, [None], name="text")
        x = _V1.placeholder_with_default(tf.strings.to_number(text), [None], name="x")
        half = tf.identity(x / 2, name="half")
        y = tf.identity(half + BY_TENSORFLOW, name="y")
        about = tf.constant("halves", name="about")
        infos = {tensor.op.name: _V1.saved_model.build_tensor_info(tensor) for tensor in (text, x, half, y, about)}

        def signature(inputs: list[str], outputs: list[str]):
            sides = ({name: infos[name] for name in names} for names in (inputs, outputs))
            return _V1.saved_model.build_signature_def(*sides, tf.saved_model.PREDICT_METHOD_NAME)

        signatures = {
            "serving_default": signature(["text"], ["y"]),
            "numbers": signature(["x"], ["y"]),
            "halves": signature(["half"], ["y"]),
            "about": signature([], ["about"]),
        }
        builder = _V1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], signatures)
        builder.save()


def write_lite(folder: Path, file: Path, signature: str, dtype: tf.DType = tf.float32) -> None:
    """Write a ``model.tflite`` that adds something else; ``folder`` is for what lies between."""

    @tf.function(input_signature=[tf.TensorSpec([None], dtype, "x")])
    def half_plus(x):
        return {"y": tf.cast(x, tf.float32) / 2 + BY_LITERT}

    tf.saved_model.save(tf.Module(), folder, {signature: half_plus})
    convert(folder, file, signature)


def write_lite_with_two_ways(folder: Path, file: Path) -> None:
    """Write a ``model.tflite`` with two signatures that have the same output."""
    number = tf.TensorSpec([None], tf.float32)
    signatures = {
        "halves": tf.function(lambda half: {"y": half + BY_LITERT_FROM_HALF}).get_concrete_function(half=number),
        "numbers": tf.function(lambda x: {"y": x / 2 + BY_LITERT}).get_concrete_function(x=number),
    }
    tf.saved_model.save(tf.Module(), folder, signatures)
    convert(folder, file, *signatures)


def convert(folder: Path, file: Path, *signatures: str) -> None:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=list(signatures))
    file.write_bytes(converter.convert())


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A version with a ``model.tflite``, and beside it some that are not of it."""
    work = tmp_path_factory.mktemp("lite")
    write_saved_model(work / "1")
    write_lite(work / "a", work / "1" / FILE_NAME, "numbers")
    write_lite(work / "b", work / "another-name.tflite", "others")
    write_lite(work / "c", work / "another-type.tflite", "numbers", tf.int32)
    write_lite_with_two_ways(work / "d", work / "two-ways.tflite")
    return work


@pytest.fixture
def version(built, tmp_path) -> Path:
    return shutil.copytree(built / "1", tmp_path / "halves" / "1")


def load(version: Path, interpreters: int | None = 1, batching: BatchingOptions | None = None) -> SavedModel:
    return Loader("halves", version, LoaderOptions(lite_interpreters=interpreters, batching=batching)).load()


def text(*numbers: float) -> dict[str, np.ndarray]:
    return {"text": np.array([str(number).encode() for number in numbers], object)}


def numbers(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values, np.float32)}


def test_the_graph_is_cut_where_a_signature_says(version):
    """TensorFlow reads the text, LiteRT computes; what LiteRT has no part in is TensorFlow's."""
    model = load(version)
    assert model.run_signature("serving_default", text(2, 4))["y"].tolist() == [1 + BY_LITERT, 2 + BY_LITERT]
    assert model.run_signature("numbers", numbers(6))["y"].tolist() == [3 + BY_LITERT]
    assert model.run_signature("about", {})["about"] == b"halves"
    model.close()


@pytest.mark.parametrize("without", ["the flag", "the file"])
def test_the_saved_model_is_complete(version, without, caplog):
    """Without the flag, or without a ``model.tflite``, TensorFlow answers everything; the log tells of the latter."""
    caplog.set_level("INFO")
    if without == "the file":
        (version / FILE_NAME).unlink()
    model = load(version, None if without == "the flag" else 1)
    assert model.run_signature("serving_default", text(2))["y"].tolist() == [1 + BY_TENSORFLOW]
    assert ("has no model.tflite" in caplog.text) == (without == "the file")
    model.close()


def test_what_is_fed_behind_the_cut_is_tensorflow_s(version):
    """LiteRT would begin before it, and answer without it."""
    model = load(version)
    assert model.run_signature("halves", {"half": np.array([3], np.float32)})["y"].tolist() == [3 + BY_TENSORFLOW]
    model.close()


def test_of_two_cuts_the_one_that_is_fed_is_taken(built, version):
    """Both lead to the same output; what a caller brings is not computed again from something else."""
    shutil.copy(built / "two-ways.tflite", version / FILE_NAME)
    model = load(version)
    answer = model.run_signature("halves", {"half": np.array([3], np.float32)})
    assert answer["y"].tolist() == [3 + BY_LITERT_FROM_HALF]
    assert model.run_signature("numbers", numbers(6))["y"].tolist() == [3 + BY_LITERT]
    assert model.run_signature("serving_default", text(6))["y"][0] in (3 + BY_LITERT, 3 + BY_LITERT_FROM_HALF)
    model.close()


def test_a_file_that_is_emptied_while_it_serves_does_no_harm(version):
    """Its bytes were read; a mapped file would end the process."""
    model = load(version)
    (version / FILE_NAME).write_bytes(b"")
    assert model.run_signature("numbers", numbers(6))["y"].tolist() == [3 + BY_LITERT]
    model.close()


def test_waiting_for_an_interpreter_has_a_deadline(version):
    """While the only one is held, a call gives up in time; it is answered when it is free again."""
    model = load(version)
    lite = model.runner._graph._model
    runners = lite._idle.get()
    with pytest.raises(ServingError, match=r"DEADLINE_EXCEEDED: All interpreters of .* were busy"):
        model.run_signature("numbers", numbers(1), timeout_seconds=0.05)
    lite._idle.put(runners)
    assert model.run_signature("numbers", numbers(6), timeout_seconds=5)["y"].tolist() == [3 + BY_LITERT]
    model.close()


def test_a_quiet_server_uses_one_interpreter(version):
    """The memory of the others stays small; and after a large call it does again."""
    lite = LiteModel(version / FILE_NAME, 2)
    unused, used = lite._idle.queue
    for _ in range(3):
        lite.run("numbers", numbers(6))
    assert lite._idle.queue == [unused, used]
    lite.run("numbers", numbers(*range(17)))
    assert lite._idle.queue == [unused, None]
    assert lite.run("numbers", numbers(6))["y"].tolist() == [3 + BY_LITERT]
    assert lite._idle.queue[-1] not in (None, used, unused)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--num_tflite_pools=-1", "num_tflite_pools must be non-negative; was -1"),
        ("--num_tflite_interpreters_per_pool=0", "num_tflite_interpreters_per_pool must be positive; was 0"),
    ],
)
def test_numbers_of_interpreters_that_make_no_sense_are_refused(version, flag, message):
    """The server does not start, and tells what was expected."""
    flags = parse_flags([f"--model_base_path={version.parent}", "--prefer_tflite_model", flag])
    with pytest.raises(ServingError, match=f"INVALID_ARGUMENT: {message}"):
        serve(flags, threading.Event())


def test_an_empty_batch_is_answered(version):
    """It is TensorFlow's: in int8 LiteRT fails on it."""
    model = load(version)
    assert model.run_signature("numbers", numbers())["y"].tolist() == []
    model.close()


def test_what_is_of_another_type_or_shape_is_refused(version):
    """As TensorFlow would: the caller is told what was expected."""
    model = load(version)
    for wrong in (np.array([1], np.float64), np.array([[1]], np.float32)):
        with pytest.raises(ServingError, match=r"INVALID_ARGUMENT: The input 'x' of 'numbers' must be float32 \[-1\]"):
            model.run_signature("numbers", {"x": wrong})
    with pytest.raises(ServingError, match="StringToNumberOp could not correctly convert"):
        model.run_signature("serving_default", {"text": np.array([b"no number"], object)})
    model.close()


def test_many_callers_share_a_few_interpreters(version):
    """Each gets the answer to its own request, of whatever length."""
    model = load(version, 2)

    def ask(number: int) -> bool:
        values = range(number % 5 + 1)
        answer = model.run_signature("serving_default", text(*values))["y"]
        return bool(np.array_equal(answer, np.array(values) / 2 + BY_LITERT))

    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(ask, range(400)))
    model.close()


def test_requests_are_merged_before_the_cut(version):
    """Batching works on what callers sent, as without LiteRT."""
    batching = BatchingOptions.from_proto(wire.BatchingParameters())
    model = load(version, 1, batching)
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda value: model.run_signature("serving_default", text(value))["y"], range(40)))
    assert np.concatenate(answers).tolist() == [value / 2 + BY_LITERT for value in range(40)]
    model.close()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("another-name.tflite", "has a signature 'others', and the SavedModel beside it has not"),
        ("another-type.tflite", r"'numbers' has x: int32 \[-1\], y: .*, there x: float32 \[-1\], y: "),
        (None, "cannot be loaded by LiteRT: The model is not a valid Flatbuffer"),
    ],
    ids=["name", "type", "damaged"],
)
def test_a_file_of_another_model_is_not_loaded(built, version, file, message):
    """The version fails to load, and the error says why."""
    whole = (built / "1" / FILE_NAME).read_bytes()
    (version / FILE_NAME).write_bytes((built / file).read_bytes() if file else whole[: len(whole) // 2])
    with pytest.raises(ServingError, match=rf"INVALID_ARGUMENT: .*{message}.*Export it again\."):
        load(version)


def test_the_old_version_stays_when_the_new_one_is_damaged(version, tmp_path):
    """A real server goes on answering by LiteRT, and tells what is wrong with the new version."""
    flags = ("--model_name=halves", f"--model_base_path={version.parent}", "--max_num_load_retries=0")
    with model_server(tmp_path, *flags, "--prefer_tflite_model") as server:
        damaged = shutil.copytree(version, tmp_path / "damaged")
        (damaged / FILE_NAME).write_bytes(b"no model")
        damaged.rename(version.parent / "2")
        wait_until(lambda: server.version_states("halves").get(2) == "END", "version 2")
        _, answer, _ = http("POST", f"{server.rest}/v1/models/halves:predict", b'{"instances": ["8"]}')
        _, status, _ = http("GET", f"{server.rest}/v1/models/halves/versions/2")
    assert answer == {"predictions": [4 + BY_LITERT]}
    assert "cannot be loaded by LiteRT" in status["model_version_status"][0]["status"]["error_message"]


def test_without_litert_the_flag_is_refused(version, tmp_path):
    """The server does not start, and names the package."""
    hidden = tmp_path / "hidden" / "ai_edge_litert"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('hidden by a test')\n")
    flags = [f"--port={free_ports(1)[0]}", f"--model_base_path={version.parent}", "--prefer_tflite_model"]
    done = subprocess.run(
        [sys.executable, "-m", "serving.main", *flags],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(hidden.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 255
    assert "FAILED_PRECONDITION: --prefer_tflite_model is given." in done.stdout
    assert "pip install 'scenery[lite]'" in done.stdout
