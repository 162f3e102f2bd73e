"""``scenery serve``: a photo in, its labels out, on one command; and everything that may go wrong."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from scenery import preprocess
from tests.processes import PHOTOS, ROOT, free_ports, http, running, wait_until

LABELS = ["beach", "city", "sunset", "trees"]


@dataclass(frozen=True)
class Stack:
    """``scenery serve``, running."""

    process: subprocess.Popen[bytes]
    url: str
    grpc: str
    rest: str
    models: Path
    config: Path
    log: Path

    def classify(self, photo: bytes) -> tuple[int, dict]:
        """POST a photo to the proxy."""
        return http("POST", f"{self.url}/v1/classify", photo, "image/jpeg")[:2]


@pytest.fixture
def stack(model_dir, tmp_path):
    """``scenery serve`` on a folder of models of its own, ready."""
    proxy_port, grpc_port, rest_port = free_ports(3)
    ports = ["--port", str(proxy_port), "--grpc-port", str(grpc_port), "--rest-port", str(rest_port)]
    config = shutil.copy(ROOT / "serving.config", tmp_path / "serving.config")
    folders = ["--models-dir", str(model_dir.parent), "--run-dir", str(tmp_path / "serve"), "--config", str(config)]
    log = tmp_path / "stack.log"
    with running("scenery", "serve", *ports, *folders, log=log) as process:
        wait_until(lambda: "is ready" in log.read_text() or process.poll() is not None, "the stack to be ready")
        assert process.poll() is None, log.read_text()
        addresses = (f"http://127.0.0.1:{proxy_port}", f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{rest_port}")
        yield Stack(process, *addresses, model_dir, Path(config), log)


def over_grpc(stack: Stack, photo: bytes) -> list[float]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "scenery"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([photo], tf.string))
    with grpc.insecure_channel(stack.grpc) as channel:
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
    return list(response.outputs["scores"].float_val)


def over_rest(stack: Stack, photo: bytes) -> list[float]:
    body = json.dumps({"instances": [{"image_bytes": {"b64": base64.b64encode(photo).decode()}}]}).encode()
    _, answer, _ = http("POST", f"{stack.rest}/v1/models/scenery:predict", body)
    return answer["predictions"][0]


def test_a_photo_gets_the_labels_that_keras_gives(stack, run_dir):
    """Through the proxy, over bare gRPC and over bare REST, the scores are those of the trained network."""
    network = keras.models.load_model(run_dir / "best.keras")
    for number in (50, 51, 52, 53):
        photo = (PHOTOS / f"{number:04d}.jpg").read_bytes()
        pixels = preprocess.decode_batch(tf.constant([photo]), (96, 96))
        (expected,) = network.predict(preprocess.scale(pixels), verbose=0)
        status, answer = stack.classify(photo)
        assert status == 200
        (told,) = answer["photos"]
        np.testing.assert_allclose(list(told["scores"].values()), expected, atol=1e-5)
        np.testing.assert_allclose(over_grpc(stack, photo), expected, atol=1e-5)
        np.testing.assert_allclose(over_rest(stack, photo), expected, atol=1e-5)
        thresholds = json.loads((run_dir / "run.json").read_text())["thresholds"]
        given = [label for label, score, cut in zip(LABELS, expected, thresholds, strict=True) if score >= cut]
        assert sorted(told["labels"]) == sorted(given)


def test_what_it_prints_is_true(stack):
    """The address and the curl line that the start prints work as they stand."""
    printed = stack.log.read_text()
    assert stack.url in printed
    (curl,) = [line.strip() for line in printed.splitlines() if line.strip().startswith("curl")]
    done = subprocess.run(curl, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    shown = next(line for line in printed.splitlines() if line.startswith("{"))
    assert json.loads(done.stdout) == json.loads(shown)


def test_a_version_dropped_in_under_load_loses_nothing(stack, run_dir, photo):
    """While ``scenery export`` drops a version in, every request is answered, and the new one takes over."""
    versions, failures, stop = [], [], threading.Event()

    def load() -> None:
        while not stop.wait(0.02):
            status, answer = stack.classify(photo)
            if status == 200:
                versions.append(answer["photos"][0]["version"])
            else:
                failures.append(answer)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(versions) > 20, "answers of version 1")
    command = [sys.executable, "-m", "scenery", "export", str(run_dir), "--models-dir", str(stack.models.parent)]
    subprocess.run(command, check=True, capture_output=True)
    wait_until(lambda: 2 in versions, "an answer of version 2")
    seen = len(versions)
    wait_until(lambda: len(versions) > seen + 20, "more answers of version 2")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert set(versions) == {1, 2}
    assert set(versions[-10:]) == {2}


def test_a_half_copied_version_takes_nothing_away(stack, photo):
    """A version that arrives damaged is not served, and the one before goes on."""
    shutil.copytree(stack.models / "1", stack.models / "tmp")
    (stack.models / "tmp/saved_model.pb").write_bytes((stack.models / "1/saved_model.pb").read_bytes()[:50_000])
    (stack.models / "tmp").rename(stack.models / "2")
    url = f"{stack.rest}/v1/models/scenery/versions/2"
    wait_until(lambda: http("GET", url)[0] == 200, "version 2 to be noticed")
    for _ in range(5):
        status, answer = stack.classify(photo)
        assert (status, answer["photos"][0]["version"]) == (200, 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_both(stack, number):
    """Ctrl-C and SIGTERM end everything with status 0, and the ports are free again."""
    stack.process.send_signal(number)
    assert stack.process.wait(60) == 0
    for address in (stack.url.removeprefix("http://"), stack.grpc, stack.rest.removeprefix("http://")):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(address.split(":")[1])))


def serve_and_fail(*arguments: str) -> str:
    command = [sys.executable, "-m", "scenery", "serve", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_port_in_use_is_a_clear_message(exported, tmp_path):
    """The taken port is named, and the flag that chooses another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        message = serve_and_fail("--port", port, "--models-dir", str(exported.parent), "--run-dir", str(tmp_path))
    assert f"Port {port} on 127.0.0.1 cannot be used" in message
    assert "--port" in message


def test_an_edit_of_serving_config_is_followed(stack):
    """A label that is added answers within seconds; an edit that is no configuration changes nothing."""

    def labelled(label: str) -> int:
        return http("GET", f"{stack.rest}/v1/models/scenery/labels/{label}/metadata")[0]

    good = stack.config.read_text()
    assert labelled("stable") == 400
    stack.config.write_text("nonsense {")
    wait_until(lambda: "The edit is not followed" in stack.log.read_text(), "the complaint")
    assert http("GET", f"{stack.url}/readyz")[0] == 200
    version = 'version_labels { key: "stable" value: 1 }'
    stack.config.write_text(good.replace("model_version_policy", f"{version} model_version_policy"))
    wait_until(lambda: labelled("stable") == 200, "the label", 15)


def ports() -> list[str]:
    proxy_port, grpc_port, rest_port = map(str, free_ports(3))
    return ["--port", proxy_port, "--grpc-port", grpc_port, "--rest-port", rest_port]


def test_no_version_is_a_clear_message(tmp_path):
    """An empty folder of models says what to run."""
    message = serve_and_fail(*ports(), "--models-dir", str(tmp_path), "--run-dir", str(tmp_path / "run"))
    assert "scenery export" in message


def test_a_damaged_only_version_is_a_clear_message(tmp_path):
    """If no version can be loaded, the start ends with the model server's reason."""
    version = tmp_path / "scenery/1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"no model")
    message = serve_and_fail(*ports(), "--models-dir", str(tmp_path), "--run-dir", str(tmp_path / "run"))
    assert "1 servable(s) did not become available: {{{name: scenery version: 1} due to error: " in message


@pytest.mark.skipif(shutil.which("tensorflow_model_server") is not None, reason="the real server is here")
def test_without_the_real_server_asking_for_it_says_so(exported, tmp_path):
    """``--server tensorflow`` without the binary names the way out."""
    folders = ["--models-dir", str(exported.parent), "--run-dir", str(tmp_path)]
    assert "--server embedded" in serve_and_fail(*ports(), *folders, "--server", "tensorflow")


@pytest.mark.tfserving
@pytest.mark.skipif(shutil.which("tensorflow_model_server") is None, reason="no tensorflow_model_server on PATH")
def test_the_real_server_serves_the_same(model_dir, tmp_path, photo):
    """With ``--server tensorflow`` the real model server answers, unchanged."""
    arguments = ports()
    log = tmp_path / "stack.log"
    folders = ["--models-dir", str(model_dir.parent), "--run-dir", str(tmp_path / "serve")]
    with running("scenery", "serve", *arguments, *folders, "--server", "tensorflow", log=log) as process:
        wait_until(lambda: "is ready" in log.read_text() or process.poll() is not None, "the stack to be ready")
        assert process.poll() is None, log.read_text()
        status, answer, _ = http("POST", f"http://127.0.0.1:{arguments[1]}/v1/classify", photo, "image/jpeg")
        assert (status, answer["photos"][0]["version"]) == (200, 1)
