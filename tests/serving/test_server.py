"""The embedded model server as a real process: gRPC, REST, the life of versions."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
import sys
import threading
from http import client
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.processes import ModelServer, free_ports, http, model_server, wait_until
from tests.serving.models import write_half_plus

NAME = "half_plus"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Versions 1, 2 and 3, which add 1, 2 and 3."""
    folder = tmp_path_factory.mktemp("half_plus")
    for version in (1, 2, 3):
        write_half_plus(folder / str(version), float(version))
    return folder


@pytest.fixture
def base_path(built, tmp_path) -> Path:
    """A base path with version 1."""
    shutil.copytree(built / "1", tmp_path / NAME / "1")
    return tmp_path / NAME


@pytest.fixture
def server(base_path, tmp_path):
    flags = (f"--model_name={NAME}", f"--model_base_path={base_path}", "--load_retry_interval_micros=100000")
    with model_server(tmp_path, *flags) as running:
        yield running


@pytest.fixture(scope="module")
def steady(built, tmp_path_factory):
    """A server of versions 1 to 3 that no test changes."""
    work = tmp_path_factory.mktemp("steady")
    config = work / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "{NAME}" base_path: "{built}" model_platform: "tensorflow"'
        ' model_version_policy { all {} } version_labels { key: "stable" value: 2 } } }'
    )
    flags = (f"--model_config_file={config}", "--allow_version_labels_for_unavailable_models")
    with model_server(work, *flags) as running:
        available = {3: "AVAILABLE", 2: "AVAILABLE", 1: "AVAILABLE"}
        wait_until(lambda: running.version_states(NAME) == available, "all versions")
        yield running


def drop(version_folder: Path, base_path: Path) -> None:
    """Drop a version in as the documentation says: write it aside, then rename."""
    staged = shutil.copytree(version_folder, base_path / f".incoming-{version_folder.name}")
    staged.rename(base_path / version_folder.name)


def predict(server: ModelServer, x: list[float], **spec: object) -> predict_pb2.PredictResponse:
    """Predict with the generated stubs of tensorflow-serving-api, as a client would."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(x, tf.float32))
    with grpc.insecure_channel(server.grpc) as channel:
        return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)


def rest_predict(server: ModelServer, body: bytes, path: str = f"{NAME}:predict") -> tuple[int, object]:
    status, answer, headers = http("POST", f"{server.rest}/v1/models/{path}", body)
    assert headers["Content-Type"] == "application/json"
    return status, answer


def test_grpc_predict_is_answered_like_tf_serving_does(steady):
    """The latest version answers, in typed fields, and tells its number."""
    response = predict(steady, [2.0, 4.0])
    assert list(response.outputs["y"].float_val) == [4.0, 5.0]
    assert response.model_spec.version.value == 3
    assert response.model_spec.signature_name == "serving_default"
    assert predict(steady, [2.0], version=1).outputs["y"].float_val[0] == 2.0
    assert predict(steady, [2.0], label="stable").model_spec.version.value == 2


@pytest.mark.parametrize(
    ("spec", "code", "details"),
    [
        ({"version": 9}, "NOT_FOUND", f"Servable not found for request: Specific({NAME}, 9)"),
        ({"label": "nope"}, "INVALID_ARGUMENT", "Unrecognized servable version label: nope"),
    ],
)
def test_grpc_errors_are_tf_servings(steady, spec, code, details):
    """Codes and texts are those a client of TF Serving knows."""
    with pytest.raises(grpc.RpcError) as caught:
        predict(steady, [1.0], **spec)
    assert (caught.value.code().name, caught.value.details()) == (code, details)


def test_grpc_status_and_metadata(steady):
    """GetModelStatus lists versions, highest first; GetModelMetadata tells the signatures."""
    with grpc.insecure_channel(steady.grpc) as channel:
        status = get_model_status_pb2.GetModelStatusRequest()
        status.model_spec.name = NAME
        answer = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status, timeout=30)
        assert [(each.version, each.state) for each in answer.model_version_status] == [(3, 30), (2, 30), (1, 30)]
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = NAME
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        metadata = stub.GetModelMetadata(request, timeout=30)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        metadata.metadata["signature_def"].Unpack(signatures)
        assert signatures.signature_def["serving_default"].inputs["x"].name == "x:0"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"instances": [2.0, 4.0]}', {"predictions": [4.0, 5.0]}),
        (b'{"inputs": [2.0, 4.0]}', {"outputs": [4.0, 5.0]}),
        (b'{"instances": [{"x": 2}]}', {"predictions": [4.0]}),
        (b'{"inputs": {"x": [2]}}', {"outputs": [4.0]}),
    ],
)
def test_rest_predict(steady, body, answer):
    """Row and columnar format, with and without names."""
    assert rest_predict(steady, body) == (200, answer)


def test_rest_versions_labels_status_metadata(steady):
    """The URLs of TF Serving's REST API."""
    body = b'{"instances": [2.0]}'
    assert rest_predict(steady, body, f"{NAME}/versions/1:predict") == (200, {"predictions": [2.0]})
    assert rest_predict(steady, body, f"{NAME}/labels/stable:predict") == (200, {"predictions": [3.0]})
    assert steady.version_states(NAME) == {3: "AVAILABLE", 2: "AVAILABLE", 1: "AVAILABLE"}
    status, answer, _ = http("GET", f"{steady.rest}/v1/models/{NAME}/versions/2/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": NAME, "signature_name": "", "version": "2"}
    assert "serving_default" in answer["metadata"]["signature_def"]["signature_def"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "none:predict", b'{"instances": [1]}', 404, "Servable not found for request: Latest(none)"),
        ("POST", f"{NAME}:predict", b"", 400, "JSON Parse error: The document is empty"),
        ("POST", f"{NAME}:predict", b"{", 400, "JSON Parse error: "),
        ("POST", f"{NAME}:predict", b"[" * 100_000, 400, "JSON Parse error: "),
        ("POST", f"{NAME}:predict", b"\xff\xfe", 400, "JSON Parse error: "),
        ("POST", f"{NAME}:predict", b'{"inputs": ' + b"[" * 100 + b"1" + b"]" * 100 + b"}", 400, "JSON Value: "),
        ("POST", f"{NAME}:predict", b'{"inputs": [1' + b"0" * 400 + b"]}", 400, "Cannot convert JSON value: "),
        ("POST", f"{NAME}:predict", b'{"inputs": [1' + b"0" * 5000 + b"]}", 400, "JSON Parse error: "),
        ("POST", f"{NAME}:predict", b"[1]", 400, "JSON Value: [1] Is not object"),
        ("POST", f"{NAME}:predict", b"{}", 400, "Missing 'inputs' or 'instances' key"),
        ("POST", f"{NAME}:predict", b'{"instances": ["a"]}', 400, "Failed to process element: 0 of 'instances' list."),
        ("POST", f"{NAME}:predict", b'{"instances": [[1], [1, 2]]}', 400, "Failed to process element: 1 of"),
        ("POST", f"{NAME}:predict", b'{"inputs": {"z": 1}}', 400, "Missing named input: x in 'inputs' object."),
        ("GET", "none", None, 404, "Could not find any versions of model none"),
        ("GET", f"{NAME}/versions/9", None, 404, f"Could not find version 9 of model {NAME}"),
        ("GET", f"{NAME}/", None, 400, f"Malformed request: GET /v1/models/{NAME}/"),
        ("DELETE", NAME, None, 400, f"Malformed request: DELETE /v1/models/{NAME}"),
    ],
)
def test_rest_errors_are_tf_servings(steady, method, path, body, status, error):
    """Bad input is answered with TF Serving's text and code, and the next request works."""
    got, answer, _ = http(method, f"{steady.rest}/v1/models/{path}", body)
    assert got == status
    assert answer["error"].startswith(error)
    assert rest_predict(steady, b'{"instances": [2.0]}')[0] == 200


def test_a_version_of_too_many_digits_is_refused(steady):
    """As in TF Serving the answer is empty, and the next request works."""
    assert http("POST", f"{steady.rest}/v1/models/{NAME}/versions/{'9' * 5000}:predict", b"{}")[:2] == (400, None)
    assert rest_predict(steady, b'{"instances": [2.0]}')[0] == 200


def test_a_dropped_version_takes_over_and_no_request_fails(server, base_path, built):
    """While versions are dropped in under load, every request is answered, by old or new."""
    answers, failures, stop = [], [], threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                answers.append(predict(server, [2.0]).outputs["y"].float_val[0])
            except grpc.RpcError as error:
                failures.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in (2, 3):
        drop(built / str(version), base_path)
        wait_until(
            lambda version=version: server.version_states(NAME).get(version) == "AVAILABLE", f"version {version}"
        )
        wait_until(lambda version=version: server.version_states(NAME).get(version - 1) == "END", "the old one's end")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert set(answers) == {2.0, 3.0, 4.0}
    assert len(answers) > 50


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving(server, base_path, built):
    """A damaged version is reported, and the good one goes on; a good one after it takes over."""
    (base_path / "2").mkdir()
    (base_path / "2" / "saved_model.pb").write_bytes((built / "2/saved_model.pb").read_bytes()[:100])
    (base_path / "5").mkdir()
    wait_until(lambda: server.version_states(NAME).get(5) == "END", "the failure to be reported")
    _, answer, _ = http("GET", f"{server.rest}/v1/models/{NAME}/versions/5")
    error = answer["model_version_status"][0]["status"]
    assert error["error_code"] == "NOT_FOUND"
    assert "does not appear to contain a SavedModel" in error["error_message"]
    assert predict(server, [2.0]).model_spec.version.value == 1
    shutil.copytree(built / "3", base_path / "7")
    wait_until(lambda: server.version_states(NAME).get(7) == "AVAILABLE", "the good version")
    assert predict(server, [2.0]).outputs["y"].float_val[0] == 4.0


def test_a_number_that_failed_once_can_be_used_again(server, base_path, built):
    """Remove a broken version, drop a good one in under its number, and it is served."""
    (base_path / "2").mkdir()
    wait_until(lambda: server.version_states(NAME).get(2) == "END", "the failure to be reported")
    (base_path / "2").rename(base_path / "removed")
    (base_path / "3").mkdir()
    wait_until(lambda: server.version_states(NAME).get(3) == "END", "the removal to be seen")
    (base_path / "3").rename(base_path / "removed-too")
    drop(built / "2", base_path)
    wait_until(lambda: server.version_states(NAME).get(2) == "AVAILABLE", "the repaired version")
    assert predict(server, [2.0]).outputs["y"].float_val[0] == 3.0


def test_a_number_too_large_is_no_version(server, base_path, built):
    """A folder named by more than 63 bits is ignored, as TF Serving does."""
    shutil.copytree(built / "2", base_path / "20261123123456789012")
    drop(built / "3", base_path)
    wait_until(lambda: server.version_states(NAME).get(3) == "AVAILABLE", "version 3")
    assert predict(server, [2.0]).model_spec.version.value == 3


def test_an_expired_deadline_is_told(steady):
    """A caller whose time is over gets DEADLINE_EXCEEDED."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0], tf.float32))
    with grpc.insecure_channel(steady.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=-1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_chunked_body_is_read(steady):
    """A request without a length is answered, and the connection stays in step."""
    connection = client.HTTPConnection(steady.rest.removeprefix("http://"))
    for _ in range(2):
        chunks = iter([b'{"instances"', b": [2.0]}"])
        connection.request("POST", f"/v1/models/{NAME}:predict", chunks, encode_chunked=True)
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())) == (200, {"predictions": [4.0]})
    connection.close()


def test_a_folder_that_is_gone_takes_nothing_away(server, base_path):
    """If the base path cannot be read for a moment, what serves goes on serving."""
    base_path.rename(base_path.with_name("elsewhere"))
    wait_until(lambda: f"{base_path} of servable" in server.log.read_text(), "a look at the folder")
    assert predict(server, [2.0]).model_spec.version.value == 1


def test_sigterm_finishes_what_is_in_flight(server):
    """SIGTERM ends the server with status 0."""
    predict(server, [2.0])
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--model_base_path=some/where", "--model_name=m"],
            "Expected model m to have an absolute path or URI; got base_path()=some/where",
        ),
        (["--model_config_file=/none"], "NOT_FOUND: /none"),
        ([], "Both server_options.model_base_path and server_options.model_config_file are empty!"),
    ],
)
def test_a_server_that_cannot_start_says_why(flags, message):
    """The reason is printed, and the status is TF Serving's 255."""
    command = [sys.executable, "-m", "serving.main", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 255
    assert message in done.stdout


def test_a_taken_port_is_named(steady, built):
    """A port in use ends the start with its number."""
    command = [
        sys.executable,
        "-m",
        "serving.main",
        f"--model_base_path={built}",
        f"--port={steady.grpc.split(':')[1]}",
        f"--rest_api_port={free_ports(1)[0]}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 255
    assert f"{steady.grpc} cannot be opened" in done.stdout


def test_bytes_go_in_as_base64(served, photo):
    """REST takes a photo as base64 and answers what gRPC answers."""
    body = b'{"instances": [{"b64": "' + base64.b64encode(photo) + b'"}]}'
    status, answer, _ = http("POST", f"{served.rest}/v1/models/scenery:predict", body)
    assert status == 200
    assert np.array(answer["predictions"]).shape == (1, 4)


def test_a_model_without_versions_does_not_stop_the_server(tmp_path):
    """An empty folder is waited for; a version that appears in it is served."""
    (tmp_path / NAME).mkdir()
    with model_server(tmp_path, f"--model_name={NAME}", f"--model_base_path={tmp_path / NAME}") as server:
        assert server.version_states(NAME) == {}
        drop(write_half_plus(tmp_path / "1", 1.0), tmp_path / NAME)
        wait_until(lambda: server.version_states(NAME) == {1: "AVAILABLE"}, "the first version")
