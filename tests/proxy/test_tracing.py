"""Traces, as a collector gets them: a real HTTP server that reads OTLP."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest
from flask import Flask
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy import tracing
from proxy.error_handlers import register_error_handlers
from proxy.problems import problem
from tests.processes import ROOT, free_ports, http, multipart, proxy, wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
SERVER, CLIENT, ERROR = 2, 3, 2
PREDICT = "tensorflow.serving.PredictionService/Predict"


class Collector:
    """What was received."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[ExportTraceServiceRequest] = []

    def spans(self) -> list[Any]:
        return [
            span
            for request in self.received
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def services(self) -> set[str]:
        resources = [each.resource for request in self.received for each in request.resource_spans]
        return {attributes(resource)["service.name"] for resource in resources}


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collected.received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collected = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield collected
        server.shutdown()
        thread.join()


def attributes(of: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


def one(spans: list[Any], kind: int) -> Any:
    (found,) = [span for span in spans if span.kind == kind]
    return found


@contextmanager
def upstream() -> Iterator[tuple[Any, list[dict[str, str]]]]:
    """Run a gRPC server; gives a call that fails on ``b"bad"``, and the metadata of those it got."""
    seen: list[dict[str, str]] = []

    def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
        seen.append(dict(context.invocation_metadata()))
        if request == b"bad":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "words about the photo")
        return request

    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(handle)
    service, method = PREDICT.split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
            yield channel.unary_unary(f"/{PREDICT}"), seen
    finally:
        server.stop(None).wait()


def ask(call: Any, photo: bytes) -> bytes:
    with tracing.upstream_span("Predict", "serving_default"):
        return call(photo, timeout=10, metadata=tracing.trace_metadata())


@pytest.fixture
def traced(collector):
    """Make a traced application out of views; what is left is sent on leaving."""
    with upstream() as (call, seen):
        app = Flask(__name__)
        register_error_handlers(app)

        @app.get("/photo/<name>")
        def photo(name: str) -> str:
            try:
                return ask(call, name.encode()).decode()
            except grpc.RpcError:
                raise problem("damaged", "Send another one.") from None

        @app.get("/healthz")
        def healthz() -> str:
            return ask(call, b"probe").decode()

        @app.get("/defect")
        def defect() -> str:
            raise RuntimeError("broken")

        tracing.start_tracing(app, collector.url + "/")
        app.extensions["seen"] = seen
        app.extensions["ask"] = lambda: ask(call, b"shadow")
        yield app
        tracing.stop_tracing()


def collected(app: Flask, collector: Collector, path: str, status: int, **headers: str) -> list[Any]:
    """Send one request; returns its spans."""
    with app.test_client().get(path, headers=headers) as response:
        assert response.status_code == status
    tracing.stop_tracing()
    return collector.spans()


def test_a_trace_goes_through(traced, collector):
    """The caller's trace goes on in the request's span, in the call beneath it, and in what the model server gets."""
    spans = collected(traced, collector, "/photo/good", 200, **TRACEPARENT)
    request, call = one(spans, SERVER), one(spans, CLIENT)
    assert request.trace_id.hex() == call.trace_id.hex() == TRACE
    assert request.parent_span_id.hex() == CALLER
    assert call.parent_span_id == request.span_id
    (metadata,) = traced.extensions["seen"]
    assert metadata["traceparent"] == f"00-{TRACE}-{call.span_id.hex()}-01"
    assert request.start_time_unix_nano <= call.start_time_unix_nano
    assert call.end_time_unix_nano <= request.end_time_unix_nano
    assert (request.name, call.name) == ("GET /photo/<name>", PREDICT)
    assert attributes(request) == {
        "http.request.method": "GET",
        "http.route": "/photo/<name>",
        "http.response.status_code": 200,
        "url.scheme": "http",
    }
    assert attributes(call)["rpc.grpc.status_code"] == 0
    assert collector.services() == {"scenery-proxy"}


def test_a_request_without_a_trace_begins_one(traced, collector):
    """So does one whose header cannot be read."""
    spans = collected(traced, collector, "/photo/good", 200, traceparent="00-nonsense")
    assert one(spans, SERVER).parent_span_id == b""
    assert one(spans, SERVER).trace_id == one(spans, CLIENT).trace_id


def test_failures_show_and_say_nothing_of_the_photo(traced, collector):
    """A call that failed has its code, the request its problem's name; no words of the model server are kept."""
    spans = collected(traced, collector, "/photo/bad", 422)
    request, call = one(spans, SERVER), one(spans, CLIENT)
    assert (call.status.code, attributes(call)["rpc.grpc.status_code"]) == (ERROR, 3)
    assert (request.status.code, attributes(request)["error.type"]) == (0, "damaged")
    assert not any("words" in str(span) or "bad" in str(span) for span in spans)


@pytest.mark.parametrize(("path", "status", "name"), [("/defect", 500, "GET /defect"), ("/nowhere", 404, "unknown")])
def test_every_end_of_a_request_ends_its_span(traced, collector, path, status, name):
    """Defects and unknown paths have a span too; only the former is an error of the server."""
    (span,) = collected(traced, collector, path, status)
    assert (span.name, attributes(span)["http.response.status_code"]) == (name, status)
    assert (span.status.code == ERROR) == (status == 500)


def test_a_caller_may_ask_not_to_be_traced(traced, collector):
    """The flag of a trace that is not sampled is passed on, and nothing is sent."""
    assert collected(traced, collector, "/photo/good", 200, traceparent=f"00-{TRACE}-{CALLER}-00") == []
    (metadata,) = traced.extensions["seen"]
    assert metadata["traceparent"].startswith(f"00-{TRACE}-")
    assert metadata["traceparent"].endswith("-00")


def test_probes_and_shadows_are_not_traced(traced, collector):
    """Neither a probe nor a call outside of a request leaves a span, or tells the model server of one."""
    traced.extensions["ask"]()
    assert collected(traced, collector, "/healthz", 200, **TRACEPARENT) == []
    assert not any("traceparent" in metadata for metadata in traced.extensions["seen"])


OFF = """
import sys
from flask import Flask
from proxy import tracing
app = Flask("off")
app.get("/")(lambda: "ok")
tracing.start_tracing(app, None)
with tracing.upstream_span("Predict", "serving_default"):
    assert tracing.trace_metadata() == ()
assert app.test_client().get("/", headers={"traceparent": "00-x"}).status_code == 200
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_nothing_is_imported_while_it_is_off():
    """Without a collector OpenTelemetry costs nothing, not even its import."""
    done = subprocess.run([sys.executable, "-c", OFF], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


MISSING = """
import sys
from flask import Flask
sys.modules["opentelemetry.exporter"] = None
from proxy.tracing import start_tracing
from scenery.errors import ConfigurationError
try:
    start_tracing(Flask("x"), "http://127.0.0.1:4318")
except ConfigurationError as error:
    print(error)
"""


def test_a_missing_package_is_told():
    """Who asks for traces without the extra is told what to install."""
    done = subprocess.run([sys.executable, "-c", MISSING], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Install scenery[tracing]" in done.stdout


def of_proxy(collector: Collector, count: int) -> list[Any]:
    wait_until(lambda: len(collector.spans()) >= count, f"{count} spans")
    return collector.spans()


def test_the_proxy_traces_photos_of_one_request(tmp_path, served, photo, collector, monkeypatch):
    """In the real server each photo's call hangs on the request; the end sends what is left, by the standard name."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "photos-of-a-shop")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    with proxy(tmp_path, served.grpc) as traced:
        body, content_type = multipart(("a.jpg", photo), ("b.jpg", photo))
        assert http("POST", f"{traced.url}/v1/classify", body, content_type, TRACEPARENT)[0] == 200
        assert http("GET", f"{traced.url}/readyz")[0] == 200
        assert collector.spans() == []
    spans = of_proxy(collector, 3)
    request = one(spans, SERVER)
    calls = [span for span in spans if span.kind == CLIENT]
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert {call.parent_span_id for call in calls} == {request.span_id}
    signatures = [attributes(call)["scenery.signature"] for call in calls]
    assert signatures.count("serving_default") == 2
    assert collector.services() == {"photos-of-a-shop"}


def test_the_proxy_does_without_its_collector(tmp_path, served, photo, monkeypatch):
    """One that cannot be reached fails no request, and the end comes soon."""
    (port,) = free_ports(1)
    monkeypatch.setenv("SCENERY_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with proxy(tmp_path, served.grpc) as traced:
        assert [traced.classify(photo)[0] for _ in range(5)] == [200] * 5
        wait_until(lambda: "export" in traced.log.read_text(), "the exporter to complain")
        assert traced.classify(photo)[0] == 200
        traced.process.terminate()
        begun = time.monotonic()
        assert traced.process.wait(15) == 0
        assert time.monotonic() - begun < 8
