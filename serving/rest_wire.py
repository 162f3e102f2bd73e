"""The REST wire: TF Serving's URLs over the data plane, as a WSGI application."""

from __future__ import annotations

import gzip
import json
import logging
import re
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from cheroot.errors import MaxSizeExceeded
from google.protobuf import json_format

from scenery import wire
from scenery.versions import version_number
from serving import rest_answers
from serving.data_plane import SIGNATURE_DEF, Call, DataPlane
from serving.errors import ServingError, invalid_argument
from serving.rest_examples import read_examples
from serving.rest_json import is_row_format, parse_document, read_predict

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 256 * 2**20
"""Of a request, also after it was unpacked."""
_WORTH_PACKING_BYTES = 1024
_TOO_LARGE = f"A body may have {MAX_BODY_BYTES} bytes, not more."
CLOSE = ("Connection", "close")

_PREFIX = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_INFERENCE = re.compile(_MODEL + r":(?P<api>predict|classify|regress)", re.IGNORECASE | re.ASCII)
_STATUS = re.compile(_MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE | re.ASCII)
_NO_MODEL = re.compile(r"/v1/models", re.IGNORECASE)

_STATUSES = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_NOT_FOUND_PAGE = "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
_JSON = "application/json"
_EMPTY_HTML = "text/html; charset=ISO-8859-1"
_CORS_HEADERS = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, GET"),
    ("Access-Control-Allow-Headers", "Content-Type"),
]

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    status: int
    content_type: str
    text: str
    close: bool = False
    """Whether the connection is of no use any more."""


class UnreadableBodyError(Exception):
    """A body that is not whole, or not as its headers say; what follows it cannot be trusted."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class UnreadableVersionError(ServingError):
    """A version number of too many digits, which TF Serving answers without a text."""

    def __init__(self) -> None:
        super().__init__("INVALID_ARGUMENT", "")


@dataclass
class RestWire:
    """A WSGI application; safe to call from many threads."""

    plane: DataPlane
    threads: int
    """How many requests are answered at a time; those that are still being sent do not count."""
    timeout_seconds: float = 30.0
    cors: bool = False
    prometheus: wire.PrometheusConfig = field(default_factory=wire.PrometheusConfig)

    def __post_init__(self) -> None:
        self._slots = threading.BoundedSemaphore(self.threads)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        answer = self._answer(environ)
        headers = [("Content-Type", answer.content_type)]
        body = answer.text.encode(errors="replace")
        if len(body) > _WORTH_PACKING_BYTES and "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
            body = gzip.compress(body, compresslevel=1)
            headers.append(("Content-Encoding", "gzip"))
        headers.append(("Content-Length", str(len(body))))
        if self.cors:
            headers += _CORS_HEADERS
        if answer.close:
            headers.append(CLOSE)
        start_response(_status_line(answer.status), headers)
        return [body]

    def _answer(self, environ: Environ) -> Answer:
        path = environ["REQUEST_URI"]
        try:
            # Read whatever comes, also where it is not asked for: what is left would pass for the next request.
            body = _read_body(environ)
            if self.prometheus.enable and path == (self.prometheus.path or "/monitoring/prometheus/metrics"):
                return Answer(200, "text/plain", self.plane.metrics.page())
            if not _PREFIX.fullmatch(path) and not _NO_MODEL.fullmatch(path):
                return Answer(404, "text/html", _NOT_FOUND_PAGE)
            if environ["REQUEST_METHOD"] == "OPTIONS":
                return Answer(200 if "HTTP_ORIGIN" in environ else 400, _EMPTY_HTML, "")
            call = Call.within("REST", self.timeout_seconds)
            with self._slot(call):
                return Answer(200, _JSON, self._result(environ["REQUEST_METHOD"], path, body, call))
        except UnreadableVersionError:
            return Answer(400, _JSON, "")
        except ServingError as error:
            return Answer(_STATUSES.get(error.code, 500), _JSON, rest_answers.error(error.message))
        except UnreadableBodyError as error:
            return Answer(error.status, _JSON, rest_answers.error(str(error)), close=True)
        except Exception:
            log.exception("A request failed by a defect of the server")
            return Answer(500, _JSON, rest_answers.error("The server failed to handle this request; see its log."))

    @contextmanager
    def _slot(self, call: Call) -> Iterator[None]:
        """Be one of those that are answered at a time; waits for it no longer than the call may last."""
        if not self._slots.acquire(timeout=call.timeout_seconds()):
            raise ServingError("DEADLINE_EXCEEDED", "Timed out waiting for a thread; see --rest_api_num_threads")
        try:
            yield
        finally:
            self._slots.release()

    def _result(self, method: str, path: str, body: bytes, call: Call) -> str:
        inference, status = _INFERENCE.fullmatch(path), _STATUS.fullmatch(path)
        if method == "POST" and inference:
            return _INFERENCES[inference["api"].lower()](self.plane, _model_spec(inference), body, call)
        if method == "GET" and status:
            return (_metadata if status["metadata"] else _model_status)(self.plane, _model_spec(status))
        if method == "GET" and _NO_MODEL.fullmatch(path):
            raise invalid_argument("Missing model name in request.")
        raise invalid_argument(f"Malformed request: {method} {path}")


def _predict(plane: DataPlane, spec: wire.ModelSpec, body: bytes, call: Call) -> str:
    document = parse_document(body)
    _, outputs = plane.run(spec, lambda signatures: read_predict(document, signatures), call)
    return rest_answers.predictions(outputs) if is_row_format(document) else rest_answers.columns(outputs)


def _classify(plane: DataPlane, spec: wire.ModelSpec, body: bytes, call: Call) -> str:
    document = parse_document(body)
    request = wire.ClassificationRequest(model_spec=_with_signature(spec, document), input=read_examples(document))
    return rest_answers.classifications(plane.classify(request, call).result)


def _regress(plane: DataPlane, spec: wire.ModelSpec, body: bytes, call: Call) -> str:
    document = parse_document(body)
    request = wire.RegressionRequest(model_spec=_with_signature(spec, document), input=read_examples(document))
    return rest_answers.regressions(plane.regress(request, call).result)


_INFERENCES = {"predict": _predict, "classify": _classify, "regress": _regress}


def _model_status(plane: DataPlane, spec: wire.ModelSpec) -> str:
    response = plane.model_status(wire.GetModelStatusRequest(model_spec=spec))
    statuses = [_to_json(status) for status in response.model_version_status]
    for status in statuses:
        status["status"].setdefault("error_code", "OK")
    return _proto_text({"model_version_status": statuses})


def _metadata(plane: DataPlane, spec: wire.ModelSpec) -> str:
    request = wire.GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_DEF])
    response = plane.model_metadata(request)
    signatures = wire.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signatures)
    model_spec = {
        "name": response.model_spec.name,
        "signature_name": response.model_spec.signature_name,
        "version": str(response.model_spec.version.value),
    }
    return _proto_text({"model_spec": model_spec, "metadata": {SIGNATURE_DEF: _to_json(signatures)}})


def _model_spec(match: re.Match[str]) -> wire.ModelSpec:
    spec = wire.ModelSpec(name=match["name"])
    if match["version"] is not None:
        number = version_number(match["version"])
        if number is None:
            raise UnreadableVersionError
        spec.version.value = number
    if match["label"] is not None:
        spec.version_label = match["label"]
    return spec


def _with_signature(spec: wire.ModelSpec, document: dict[str, Any]) -> wire.ModelSpec:
    spec.signature_name = document.get("signature_name", "")
    return spec


def _to_json(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        descriptor_pool=wire.pool,
    )


def _proto_text(value: dict[str, Any]) -> str:
    """Print as protobuf's C++ library does."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _read_body(environ: Environ) -> bytes:
    """Read and unpack a request's body.

    Raises
    ------
    UnreadableBodyError
        If it does not arrive whole, or is not as its headers say.
    """
    length = environ.get("CONTENT_LENGTH", "")
    if length and ("HTTP_TRANSFER_ENCODING" in environ or not (length.isascii() and length.isdecimal())):
        raise UnreadableBodyError(400, f"Content-Length must be one number, alone. Received: {length!r}")
    try:
        body: bytes = environ["wsgi.input"].read()
    except (TimeoutError, ConnectionError) as error:
        raise UnreadableBodyError(408, "The body did not arrive. Send all of it, without pauses.") from error
    except MaxSizeExceeded as error:
        raise UnreadableBodyError(413, _TOO_LARGE) from error
    except (ValueError, OSError) as error:
        raise UnreadableBodyError(400, f"The body's chunks cannot be read: {error}") from error
    if length and len(body) < int(length):
        raise UnreadableBodyError(400, f"Content-Length is {length}, but only {len(body)} bytes came.")
    encoding = environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise UnreadableBodyError(415, f"Content-Encoding must be gzip or left out. Received: {encoding!r}")
    return _unpacked(body)


def _unpacked(body: bytes) -> bytes:
    """Unpack gzip of one or several members."""
    content = bytearray()
    while body:
        unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            content += unpacker.decompress(body, MAX_BODY_BYTES - len(content) + 1)
        except zlib.error as error:
            raise UnreadableBodyError(400, f"The body is not the gzip that Content-Encoding says: {error}") from error
        if len(content) > MAX_BODY_BYTES:
            raise UnreadableBodyError(413, _TOO_LARGE)
        if not unpacker.eof:
            raise UnreadableBodyError(400, "The body's gzip is cut off.")
        body = unpacker.unused_data
    return bytes(content)


def _status_line(status: int) -> str:
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Client Closed Request"
    return f"{status} {phrase}"
