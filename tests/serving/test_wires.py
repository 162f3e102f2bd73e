"""What the recorded scenarios do not ask: TLS, gzip, sizes, batching, metrics, stopping, on a real process."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import numpy as np
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from scenery import wire
from scenery.wire.tensors import to_array, to_proto
from tests.conformance import models
from tests.processes import ModelServer, model_server, wait_until
from tests.processes import http as fetch


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """The models of these tests, by name and version."""
    folder = tmp_path_factory.mktemp("store")
    models.half_plus_two(folder / "half_plus_two" / "1", 2.0)
    models.half_plus_two(folder / "half_plus_two_again" / "2", 20.0)
    models.slow(folder / "slow" / "1")
    models.shapes(folder / "shapes" / "1")
    models.image(folder / "image" / "1")
    return folder


@pytest.fixture(scope="module")
def server(store, tmp_path_factory):
    """A server of several models, with metrics."""
    work = tmp_path_factory.mktemp("server")
    entries = [
        f'config {{ name: "{name}" base_path: "{store / name}" model_platform: "tensorflow" }}'
        for name in ("half_plus_two", "slow", "shapes", "image")
    ]
    (work / "models.config").write_text(f"model_config_list {{ {' '.join(entries)} }}")
    (work / "monitoring.config").write_text('prometheus_config { enable: true path: "/metrics" }')
    flags = (f"--model_config_file={work / 'models.config'}", f"--monitoring_config_file={work / 'monitoring.config'}")
    with model_server(work, *flags, "--enable_grpc_healthcheck_service") as running:
        yield running


def predict(channel: grpc.Channel, name: str, alias: str, array, timeout: float = 60):
    """Predict over a channel; returns the only output."""
    request = wire.PredictRequest(model_spec=wire.ModelSpec(name=name))
    request.inputs[alias].CopyFrom(to_proto(array))
    call = channel.unary_unary(
        f"/{wire.PREDICTION_SERVICE}/Predict",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=wire.PredictResponse.FromString,
    )
    response = call(request, timeout=timeout)
    (output,) = response.outputs.values()
    return to_array(output)


def floats(*values: float):
    return np.array(values, np.float32)


def raw(server: ModelServer, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None):
    """Send a request as it is; returns status, headers and body."""
    with closing(http.client.HTTPConnection(server.rest.removeprefix("http://"), timeout=120)) as connection:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()


PATH = "/v1/models/half_plus_two:predict"


def test_a_packed_request_is_unpacked(server):
    """Content-Encoding: gzip."""
    body = gzip.compress(b'{"instances": [1.0]}')
    status, _, answer = raw(server, "POST", PATH, body, {"Content-Encoding": "gzip"})
    assert (status, json.loads(answer)) == (200, {"predictions": [2.5]})


@pytest.mark.parametrize("body", [b"{}", gzip.compress(b'{"instances": [1.0]}')[:-6]], ids=["no gzip", "cut off"])
def test_a_request_that_is_not_packed_as_it_says_is_told(server, body):
    """The sentence is about gzip, not about JSON, and the next request works."""
    status, _, answer = raw(server, "POST", PATH, body, {"Content-Encoding": "gzip"})
    assert status == 400
    assert "gzip" in json.loads(answer)["error"]
    assert raw(server, "POST", PATH, b'{"instances": [1.0]}')[0] == 200


def test_a_bomb_is_not_unpacked(server):
    """300 MB of zeros in 300 KB are refused at the limit."""
    status, _, answer = raw(server, "POST", PATH, gzip.compress(bytes(300 * 2**20), 9), {"Content-Encoding": "gzip"})
    assert status == 413
    assert "bytes, not more" in json.loads(answer)["error"]


def test_a_large_answer_is_packed_for_who_accepts_it(server):
    """Accept-Encoding: gzip; who does not name it gets plain text."""
    body = json.dumps({"instances": [1.0] * 1000}).encode()
    _, headers, packed = raw(server, "POST", PATH, body, {"Accept-Encoding": "gzip"})
    _, plain_headers, plain = raw(server, "POST", PATH, body)
    assert headers["Content-Encoding"] == "gzip"
    assert plain_headers["Content-Encoding"] is None
    assert gzip.decompress(packed) == plain


def test_a_body_of_100_mb_is_answered(server):
    """Whether it is good or bad: the server lives, and others are answered meanwhile."""
    good = b'{"instances": [' + b"1.5," * 2_000_000 + b"1.5]}"
    bad = b'{"instances": ["' + b"A" * 100 * 2**20 + b'"]}'
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(raw, server, "POST", PATH, bad)
        assert raw(server, "POST", PATH, b'{"instances": [1.0]}')[0] == 200
        status, _, answer = large.result(120)
    assert status == 400
    assert len(answer) < 3000
    assert json.loads(answer)["error"].endswith("AAA... Type: String is not of expected type: float")
    status, _, answer = raw(server, "POST", PATH, good)
    assert (status, len(json.loads(answer)["predictions"])) == (200, 2_000_001)


def exchange(server: ModelServer, request: bytes) -> bytes:
    """Send bytes, say that no more come, and return all that is answered."""
    with socket.create_connection(server.rest.removeprefix("http://").split(":"), timeout=60) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


GOOD = b'{"instances": [1.0]}'


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        (b"Content-Length: 50", GOOD, 400),
        (b"Content-Length: -5", GOOD, 400),
        (b"Content-Length: +20", GOOD, 400),
        (b"Content-Length: 20\r\nTransfer-Encoding: chunked", b"14\r\n" + GOOD + b"\r\n0\r\n\r\n", 400),
        (b"Transfer-Encoding: chunked", b"zz\r\n" + GOOD, 400),
        (b"Content-Encoding: br\r\nContent-Length: 20", GOOD, 415),
    ],
)
def test_a_body_that_is_not_as_its_headers_say_is_refused(server, head, body, status):
    """One answer, then the connection is closed: what follows would be misread. It is no defect of ours."""
    answer = exchange(server, b"POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s" % (PATH.encode(), head, body))
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert answer.count(b"HTTP/1.1") == 1
    assert "defect" not in server.log.read_text()


def test_gzip_of_several_members_is_read_whole(server):
    """As RFC 1952 allows."""
    body = gzip.compress(GOOD[:7]) + gzip.compress(GOOD[7:])
    assert raw(server, "POST", PATH, body, {"Content-Encoding": "gzip"})[0] == 200


def test_silent_connections_take_no_thread(server):
    """Browsers and load balancers open connections ahead; hundreds of them hold up nobody."""
    address = server.rest.removeprefix("http://").split(":")
    silent = [socket.create_connection(address, timeout=60) for _ in range(300)]
    try:
        started = time.monotonic()
        assert raw(server, "POST", PATH, GOOD)[0] == 200
        assert time.monotonic() - started < 5
    finally:
        for each in silent:
            each.close()


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(server):
    """By its Content-Length."""
    with socket.create_connection(server.rest.removeprefix("http://").split(":"), timeout=60) as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n" % PATH.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_json_of_ten_thousand_levels_does_no_harm(server):
    """The real server crashes (CVE-2025-0649); this one says no."""
    for body in (
        b"[" * 10_000,
        b'{"instances": ' + b"[" * 10_000 + b"1" + b"]" * 10_000 + b"}",
        b'{"instances": [' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"]}",
    ):
        status, _, answer = raw(server, "POST", PATH, body)
        assert status == 400
        assert json.loads(answer)["error"]
    assert raw(server, "POST", PATH, b'{"instances": [1.0]}')[0] == 200


def test_a_request_that_is_no_http_does_no_harm(server):
    """Bytes that mean nothing are answered with 400, or not at all; the next request works."""
    for garbage in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"\0" * 1000):
        with socket.create_connection(server.rest.removeprefix("http://").split(":"), timeout=20) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1000)
    assert raw(server, "POST", PATH, b'{"instances": [1.0]}')[0] == 200


def test_metrics_tell_the_version(server):
    """TF Serving's families by their names, and ours with the version."""
    raw(server, "POST", PATH, b'{"instances": [1.0]}')
    raw(server, "POST", "/v1/models/nobody_knows:predict", b'{"instances": [1.0]}')
    with grpc.insecure_channel(server.grpc) as channel:
        predict(channel, "half_plus_two", "x", floats(1, 2))
    status, headers, page = raw(server, "GET", "/metrics")
    text = page.decode()
    assert (status, headers["Content-Type"]) == (200, "text/plain")
    labels = 'model_name="half_plus_two",version="1",api="Predict",entrypoint="GRPC"'
    assert f'model_server_requests_total{{{labels},status="OK"}} 1\n' in text
    assert f"model_server_request_seconds_count{{{labels}}} 1\n" in text
    assert 'model_server_version_state{model_name="half_plus_two",version="1",state="AVAILABLE"} 1\n' in text
    assert (
        ':tensorflow:serving:request_latency_count{model_name="half_plus_two",API="Predict",entrypoint="GRPC"} 1'
        in text
    )
    assert 'request_count{model_name="",status="NOT_FOUND"}' in text
    assert "nobody_knows" not in text


def test_a_call_without_a_deadline_is_answered(server):
    """Most clients set none; every method is to take that."""
    with grpc.insecure_channel(server.grpc) as channel:
        assert predict(channel, "half_plus_two", "x", floats(1), timeout=None) == 2.5
        request = wire.RegressionRequest(
            model_spec=wire.ModelSpec(name="half_plus_two", signature_name="regress_x_to_y")
        )
        feature = request.input.example_list.examples.add().features.feature["x"]
        feature.float_list.value.append(1.0)
        call = channel.unary_unary(f"/{wire.PREDICTION_SERVICE}/Regress")
        answer = wire.RegressionResponse.FromString(call(request.SerializeToString()))
        assert answer.result.regressions[0].value == 2.5


def test_a_full_server_is_still_healthy(store, tmp_path):
    """Runs of models beyond --grpc_max_threads are refused; the health service and the status answer."""
    flags = ("--model_name=slow", f"--model_base_path={store / 'slow'}", "--grpc_max_threads=1")
    with (
        model_server(tmp_path, *flags, "--enable_grpc_healthcheck_service") as server,
        grpc.insecure_channel(server.grpc) as channel,
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(predict, channel, "slow", "seconds", floats(4))
        time.sleep(1)
        with pytest.raises(grpc.RpcError) as refused:
            predict(channel, "slow", "seconds", floats(0))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert running.result(30) == 4.0
        assert predict(channel, "slow", "seconds", floats(0)) == 0


def test_expired_work_is_not_started(server):
    """A deadline bounds the run of the model, and a thread is free again soon after."""
    with grpc.insecure_channel(server.grpc) as channel:
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                predict(channel, "slow", "seconds", floats(60), timeout=0.3)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert predict(channel, "slow", "seconds", floats(0)) == 0


@pytest.mark.parametrize(
    ("array", "code", "message"),
    [
        (np.array([1], np.int64), "INVALID_ARGUMENT", "Expects arg[0] to be float but int64 is provided"),
        (np.array([b"x"], object), "INVALID_ARGUMENT", "Expects arg[0] to be float but string is provided"),
        (np.zeros((2, 2), np.float32), "INVALID_ARGUMENT", "Matrix size-incompatible: In[0]: [2,2], In[1]: [3,1]"),
    ],
)
def test_a_wrong_tensor_is_told(server, array, code, message):
    """Type and shape, in the runtime's words; the server lives."""
    request = wire.PredictRequest(model_spec=wire.ModelSpec(name="shapes", signature_name="matmul"))
    request.inputs["x"].CopyFrom(to_proto(array))
    with grpc.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary(f"/{wire.PREDICTION_SERVICE}/Predict")
        with pytest.raises(grpc.RpcError) as caught:
            call(request.SerializeToString(), timeout=60)
    assert caught.value.code().name == code
    assert caught.value.details().startswith(message)


def test_a_tensor_that_grows_from_nothing_is_refused(server):
    """30 bytes do not take 40 GB."""
    request = wire.PredictRequest(model_spec=wire.ModelSpec(name="half_plus_two"))
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add(size=10**10)
    strings = wire.PredictRequest(model_spec=wire.ModelSpec(name="image"))
    strings.inputs["image_bytes"].dtype = 7
    strings.inputs["image_bytes"].string_val.append(b"x" * 1000)
    strings.inputs["image_bytes"].tensor_shape.dim.add(size=10**6)
    with grpc.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary(f"/{wire.PREDICTION_SERVICE}/Predict")
        for each in (request, strings):
            with pytest.raises(grpc.RpcError, match="tensor parsing error: "):
                call(each.SerializeToString(), timeout=60)


def test_tls_and_a_socket_serve_side_by_side(store, tmp_path):
    """With certificates of both sides checked; without one, nobody gets in."""
    authority = trustme.CA()
    server_cert, client_cert = authority.issue_cert("localhost"), authority.issue_cert("client")

    def pem(*blobs) -> str:
        return json.dumps("".join(blob.bytes().decode() for blob in blobs))

    (tmp_path / "ssl.config").write_text(
        f"server_key: {pem(server_cert.private_key_pem)} server_cert: {pem(*server_cert.cert_chain_pems)} "
        f"custom_ca: {pem(authority.cert_pem)} client_verify: true"
    )
    flags = (
        "--model_name=half_plus_two",
        f"--model_base_path={store / 'half_plus_two'}",
        f"--ssl_config_file={tmp_path / 'ssl.config'}",
        f"--grpc_socket_path={tmp_path / 's'}",
        "--grpc_channel_arguments=grpc.max_concurrent_streams=20,grpc.keepalive_time_ms=10000",
    )
    with model_server(tmp_path, *flags) as server:
        address = server.grpc.replace("127.0.0.1", "localhost")
        root = authority.cert_pem.bytes()
        ours = grpc.ssl_channel_credentials(
            root, client_cert.private_key_pem.bytes(), b"".join(each.bytes() for each in client_cert.cert_chain_pems)
        )
        with grpc.secure_channel(address, ours) as channel:
            assert predict(channel, "half_plus_two", "x", floats(1)) == 2.5
        for stranger in (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(root)),
            grpc.insecure_channel(server.grpc),
        ):
            with stranger as channel, pytest.raises(grpc.RpcError):
                predict(channel, "half_plus_two", "x", floats(1), timeout=5)
        with grpc.insecure_channel(f"unix:{tmp_path / 's'}") as channel:
            assert predict(channel, "half_plus_two", "x", floats(1)) == 2.5


def test_one_callers_bad_input_fails_nobody_else(store, tmp_path):
    """With batching, four good images and a bad one are sent at a time: four are answered."""
    (tmp_path / "batching.config").write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 300000 } num_batch_threads { value: 2 }"
    )
    (tmp_path / "monitoring.config").write_text("prometheus_config { enable: true }")
    good = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP8z8DAwMDAxMDAwMDAAAANHQEDasKb6QAAAABJRU5ErkJggg=="
    )
    flags = (
        "--model_name=image",
        f"--model_base_path={store / 'image'}",
        "--enable_batching",
        f"--batching_parameters_file={tmp_path / 'batching.config'}",
        f"--monitoring_config_file={tmp_path / 'monitoring.config'}",
    )
    with model_server(tmp_path, *flags) as server, grpc.insecure_channel(server.grpc) as channel:

        def send(image: bytes):
            try:
                return predict(channel, "image", "image_bytes", np.array([image], object)).shape
            except grpc.RpcError as error:
                return error.code().name

        with ThreadPoolExecutor(5) as pool:
            answers = list(pool.map(send, [good, good, b"no image", good, good]))
        assert answers == [(1, 4), (1, 4), "INVALID_ARGUMENT", (1, 4), (1, 4)]
        _, _, page = raw(server, "GET", "/monitoring/prometheus/metrics")
        assert b'processed_batch_size_v2{model_name="image"' in page


def test_health_turns_when_the_server_stops(store, tmp_path):
    """A load balancer sees NOT_SERVING, what is in flight is answered, what is new is refused, and the exit is 0."""
    flags = ("--model_name=slow", f"--model_base_path={store / 'slow'}", "--enable_grpc_healthcheck_service")
    with model_server(tmp_path, *flags) as server, grpc.insecure_channel(server.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        with ThreadPoolExecutor(2) as pool:
            over_grpc = pool.submit(predict, channel, "slow", "seconds", floats(3))
            over_rest = pool.submit(raw, server, "POST", "/v1/models/slow:predict", b'{"instances": [3.0]}')
            time.sleep(1.5)
            server.process.send_signal(signal.SIGTERM)
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert list(watch) == []  # or the stop would wait for it
            wait_until(lambda: fetch("GET", f"{server.rest}/v1/models/slow")[0] == 0, "the REST port to close")
            with grpc.insecure_channel(server.grpc) as late, pytest.raises(grpc.RpcError) as refused:
                predict(late, "slow", "seconds", floats(0), timeout=10)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert over_grpc.result(30) == 3.0
            assert over_rest.result(30)[0] == 200
        assert server.process.wait(30) == 0


def test_a_config_that_cannot_be_read_changes_nothing(store, tmp_path):
    """A polled config file that is garbage, empty or gone leaves what serves; a good one is followed again."""
    config = tmp_path / "models.config"

    def write(*names: str) -> None:
        entries = [
            f'config {{ name: "{name}" base_path: "{store / name}" model_platform: "tensorflow" }}' for name in names
        ]
        (tmp_path / "new").write_text(f"model_config_list {{ {' '.join(entries)} }}")
        (tmp_path / "new").rename(config)

    write("half_plus_two")
    flags = (f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=0.2")
    with model_server(tmp_path, *flags) as server:
        broken = (lambda: config.write_bytes(b"\xff\xfe nonsense {"), lambda: config.write_bytes(b""), config.unlink)
        for complaints, break_it in enumerate(broken, 1):
            break_it()
            wait_until(
                lambda count=complaints: server.log.read_text().count("is not followed") == count, "the complaint"
            )
            assert raw(server, "POST", PATH, b'{"instances": [1.0]}')[0] == 200
        write("half_plus_two", "half_plus_two_again")
        wait_until(lambda: server.version_states("half_plus_two_again") == {2: "AVAILABLE"}, "the model that was added")
        write("half_plus_two")
        wait_until(lambda: server.version_states("half_plus_two_again") == {2: "END"}, "its end")


def test_a_version_is_unloaded_after_its_last_answer_is_out(store, tmp_path):
    """A slow request that began on the old version is answered by it, however long the new one is there."""
    base_path = tmp_path / "slow"
    shutil.copytree(store / "slow" / "1", base_path / "1")
    with (
        model_server(tmp_path, "--model_name=slow", f"--model_base_path={base_path}") as server,
        grpc.insecure_channel(server.grpc) as channel,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(predict, channel, "slow", "seconds", floats(4))
        time.sleep(0.5)
        shutil.copytree(store / "slow" / "1", base_path / ".incoming").rename(base_path / "2")
        wait_until(lambda: server.version_states("slow").get(2) == "AVAILABLE", "the new version")
        assert not answer.done()
        assert server.version_states("slow")[1] in ("AVAILABLE", "UNLOADING")
        assert answer.result(30) == 4.0
        wait_until(lambda: server.version_states("slow")[1] == "END", "the old version's end")


def test_a_failing_load_is_tried_again(store, tmp_path):
    """A version that is repaired between two tries is served, and its error is gone."""
    base_path = tmp_path / "m"
    shutil.copytree(store / "half_plus_two" / "1", base_path / "1")
    flags = ("--model_name=m", f"--model_base_path={base_path}", "--load_retry_interval_micros=500000")
    with model_server(tmp_path, *flags, "--max_num_load_retries=100") as server:
        broken = tmp_path / "broken"
        shutil.copytree(store / "half_plus_two" / "1", broken)
        graph = (broken / "saved_model.pb").read_bytes()
        (broken / "saved_model.pb").write_bytes(graph[:100])
        broken.rename(base_path / "2")
        wait_until(lambda: "Loading {name: m version: 2} failed" in server.log.read_text(), "a failed try")
        assert server.version_states("m") == {2: "LOADING", 1: "AVAILABLE"}
        (base_path / "2" / "saved_model.pb").write_bytes(graph)
        wait_until(lambda: server.version_states("m") == {2: "AVAILABLE", 1: "END"}, "the repaired version")
        _, answer, _ = fetch("GET", f"{server.rest}/v1/models/m/versions/2")
        assert answer["model_version_status"][0]["status"] == {"error_code": "OK", "error_message": ""}


def test_a_stop_does_not_wait_for_a_load_that_is_tried_again(store, tmp_path):
    """SIGTERM ends a server whose model cannot be loaded, long before the next try."""
    base_path = tmp_path / "m"
    shutil.copytree(store / "half_plus_two" / "1", base_path / "1")
    with model_server(tmp_path, "--model_name=m", f"--model_base_path={base_path}") as server:
        (base_path / "2").mkdir()
        wait_until(lambda: "version: 2} failed" in server.log.read_text(), "a failed try")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


def test_a_request_beyond_the_grace_period_does_not_keep_the_server(store, tmp_path):
    """After ten seconds the rest is abandoned; the exit is 0 all the same."""
    flags = ("--model_name=slow", f"--model_base_path={store / 'slow'}", "--rest_api_timeout_in_ms=300000")
    with (
        model_server(tmp_path, *flags) as server,
        grpc.insecure_channel(server.grpc) as channel,
        ThreadPoolExecutor(2) as pool,
    ):
        over_grpc = pool.submit(predict, channel, "slow", "seconds", floats(300), 300)
        over_rest = pool.submit(raw, server, "POST", "/v1/models/slow:predict", b'{"instances": [300.0]}')
        time.sleep(2)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert "abandoned" in server.log.read_text()
        with pytest.raises(grpc.RpcError):
            over_grpc.result(30)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            over_rest.result(30)


def test_a_model_that_cannot_be_loaded_holds_up_no_other(store, tmp_path):
    """Between two tries the only load thread loads other models."""
    for name in ("a", "b"):
        shutil.copytree(store / "half_plus_two" / "1", tmp_path / name / "1")
    entries = [f'config {{ name: "{n}" base_path: "{tmp_path / n}" model_platform: "tensorflow" }}' for n in ("a", "b")]
    (tmp_path / "models.config").write_text(f"model_config_list {{ {' '.join(entries)} }}")
    with model_server(tmp_path, f"--model_config_file={tmp_path / 'models.config'}") as server:
        (tmp_path / "a" / "2").mkdir()
        wait_until(lambda: "Loading {name: a version: 2} failed" in server.log.read_text(), "a failed try")
        shutil.copytree(store / "half_plus_two" / "1", tmp_path / "b" / ".incoming").rename(tmp_path / "b" / "2")
        wait_until(lambda: server.version_states("b").get(2) == "AVAILABLE", "the other model's version")
        assert server.version_states("a") == {2: "LOADING", 1: "AVAILABLE"}


def test_slow_callers_do_not_hold_up_others(store, tmp_path):
    """While more connections than there are threads send their bodies drop by drop, others are answered."""
    stop = threading.Event()
    flags = ("--model_name=half_plus_two", f"--model_base_path={store / 'half_plus_two'}", "--rest_api_num_threads=2")

    def drip(server: ModelServer) -> None:
        with socket.create_connection(server.rest.removeprefix("http://").split(":"), timeout=60) as connection:
            connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" % PATH.encode())
            while not stop.wait(0.2):
                connection.sendall(b" ")

    with model_server(tmp_path, *flags) as server, ThreadPoolExecutor(5) as pool:
        slow = [pool.submit(drip, server) for _ in range(5)]
        try:
            for _ in range(20):
                assert raw(server, "POST", PATH, b'{"instances": [1.0]}')[0] == 200
                time.sleep(0.05)
            assert not any(each.done() for each in slow)
        finally:
            stop.set()


def test_a_caller_that_leaves_in_the_middle_is_no_defect(server):
    """A body that ends early is answered, or not at all; the log does not speak of a defect."""
    for _ in range(3):
        with socket.create_connection(server.rest.removeprefix("http://").split(":"), timeout=60) as connection:
            connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{" % PATH.encode())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert raw(server, "POST", PATH, b'{"instances": [1.0]}')[0] == 200
    assert "defect" not in server.log.read_text()


def test_batching_parameters_of_a_model_that_are_wrong_fail_only_it(store, tmp_path):
    """The version ends with the reason; another model's new version is served."""
    for name in ("a", "b"):
        shutil.copytree(store / "half_plus_two" / "1", tmp_path / name / "1")
    entries = [f'config {{ name: "{n}" base_path: "{tmp_path / n}" model_platform: "tensorflow" }}' for n in ("a", "b")]
    (tmp_path / "models.config").write_text(f"model_config_list {{ {' '.join(entries)} }}")
    flags = ("--enable_batching", "--enable_per_model_batching_parameters", "--max_num_load_retries=0")
    with model_server(tmp_path, f"--model_config_file={tmp_path / 'models.config'}", *flags) as server:
        for name, parameters in (("a", "nonsense {"), ("b", "max_batch_size { value: 4 }")):
            staged = shutil.copytree(store / "half_plus_two" / "1", tmp_path / name / ".incoming")
            (staged / "batching_params.pbtxt").write_text(parameters)
            staged.rename(tmp_path / name / "2")
        wait_until(lambda: server.version_states("a") == {2: "END", 1: "AVAILABLE"}, "the version that fails")
        wait_until(lambda: server.version_states("b") == {2: "AVAILABLE", 1: "END"}, "the other model's version")
        _, answer, _ = fetch("GET", f"{server.rest}/v1/models/a/versions/2")
        assert "Invalid protobuf file" in answer["model_version_status"][0]["status"]["error_message"]
        for name, status in (("a", 200), ("b", 400)):
            body = json.dumps({"instances": [1.0] * 5}).encode()
            assert raw(server, "POST", f"/v1/models/{name}:predict", body)[0] == status
