"""``--prefer_tflite_model``: LiteRT computes what is in a version's ``model.tflite``, TensorFlow the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from scenery import wire
from scenery.lite import FILE_NAME
from serving.batching import BatchingOptions
from serving.errors import ServingError
from serving.loader import Loader, LoaderOptions
from serving.saved_model import SavedModel
from tests.processes import ROOT, free_ports, http, model_server, wait_until

_V1 = tf.compat.v1
BY_TENSORFLOW, BY_LITERT = 1.0, 1.25
"""What is added to half of x, so that an answer tells who computed it."""


def write_saved_model(folder: Path) -> None:
    """Write a model whose ``serving_default`` reads numbers from text, and ``numbers`` takes them."""
    with tf.Graph().as_default(), _V1.Session() as session:
        text = _V1.placeholder(tf.string, [None], name="text")
        x = _V1.placeholder_with_default(tf.strings.to_number(text), [None], name="x")
        y = tf.identity(x / 2 + BY_TENSORFLOW, name="y")
        about = tf.constant("halves", name="about")
        infos = {tensor.op.name: _V1.saved_model.build_tensor_info(tensor) for tensor in (text, x, y, about)}

        def signature(inputs: list[str], outputs: list[str]):
            sides = ({name: infos[name] for name in names} for names in (inputs, outputs))
            return _V1.saved_model.build_signature_def(*sides, tf.saved_model.PREDICT_METHOD_NAME)

        signatures = {
            "serving_default": signature(["text"], ["y"]),
            "numbers": signature(["x"], ["y"]),
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
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[signature])
    file.write_bytes(converter.convert())


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A version with a ``model.tflite``, and beside it some that are not of it."""
    work = tmp_path_factory.mktemp("lite")
    write_saved_model(work / "1")
    write_lite(work / "a", work / "1" / FILE_NAME, "numbers")
    write_lite(work / "b", work / "another-name.tflite", "others")
    write_lite(work / "c", work / "another-type.tflite", "numbers", tf.int32)
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
def test_the_saved_model_is_complete(version, without):
    """Without the flag, or without a ``model.tflite``, TensorFlow answers everything."""
    if without == "the file":
        (version / FILE_NAME).unlink()
    model = load(version, None if without == "the flag" else 1)
    assert model.run_signature("serving_default", text(2))["y"].tolist() == [1 + BY_TENSORFLOW]
    model.close()


def test_an_empty_batch_is_answered(version):
    """It is TensorFlow's, for LiteRT knows none."""
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
