"""The REST wire: TF Serving's URLs over the data plane, as a WSGI application."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from google.protobuf import json_format

from scenery import wire
from scenery.versions import version_number
from serving.data_plane import SIGNATURE_DEF, DataPlane
from serving.errors import ServingError, invalid_argument
from serving.predict import run_signature
from serving.rest_json import MAX_ECHO, format_predict, parse_predict

log = logging.getLogger(__name__)

_PREFIX = "/v1/models"
_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_ROUTES = (
    ("POST", re.compile(_MODEL + r":predict"), "predict"),
    ("GET", re.compile(_MODEL), "status"),
    ("GET", re.compile(_MODEL + r"/metadata"), "metadata"),
)
_STATUSES = {
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "FAILED_PRECONDITION": HTTPStatus.PRECONDITION_FAILED,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
    "DEADLINE_EXCEEDED": HTTPStatus.GATEWAY_TIMEOUT,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
    "UNIMPLEMENTED": HTTPStatus.NOT_IMPLEMENTED,
}
_UNKNOWN_PATH = "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]


class RestWire:
    """A WSGI application; safe to call from many threads."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        if not environ["PATH_INFO"].startswith(_PREFIX):
            return _respond(start_response, HTTPStatus.NOT_FOUND, "text/html", _UNKNOWN_PATH)
        try:
            text = json.dumps(self._answer(environ), indent=4)
            status = HTTPStatus.OK
        except ServingError as error:
            status = _STATUSES.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
            text = json.dumps({"error": error.message}, indent=4)
        except Exception:
            log.exception("A request failed by a defect of the server")
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            text = json.dumps({"error": "The server failed to handle this request; see its log."}, indent=4)
        return _respond(start_response, status, "application/json", text)

    def _answer(self, environ: Environ) -> dict[str, Any]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        # Read whatever comes, also where it is not asked for: what is left would pass for the next request.
        body = environ["wsgi.input"].read()
        if method == "GET" and path == _PREFIX:
            raise invalid_argument("Missing model name in request.")
        for wanted_method, pattern, name in _ROUTES:
            match = pattern.fullmatch(path)
            if match and method == wanted_method:
                answer: dict[str, Any] = getattr(self, f"_{name}")(_model_spec(**match.groupdict()), body)
                return answer
        raise invalid_argument(f"Malformed request: {method} {path}")

    def _predict(self, spec: Any, body: bytes) -> dict[str, Any]:
        with self._plane.servable(spec) as (_, model):
            parsed = parse_predict(body, model.signatures)
            outputs = run_signature(model, parsed.signature_name, parsed.inputs)
        return format_predict(outputs, parsed.is_row)

    def _status(self, spec: Any, _: bytes) -> dict[str, Any]:
        response = self._plane.model_status(wire.GetModelStatusRequest(model_spec=spec))
        statuses = [_to_json(status) for status in response.model_version_status]
        for status in statuses:
            status["status"].setdefault("error_code", "OK")
        return {"model_version_status": statuses}

    def _metadata(self, spec: Any, _: bytes) -> dict[str, Any]:
        request = wire.GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_DEF])
        response = self._plane.model_metadata(request)
        signatures = wire.SignatureDefMap()
        response.metadata[SIGNATURE_DEF].Unpack(signatures)
        model_spec = {
            "name": response.model_spec.name,
            "signature_name": response.model_spec.signature_name,
            "version": str(response.model_spec.version.value),
        }
        return {"model_spec": model_spec, "metadata": {SIGNATURE_DEF: _to_json(signatures)}}


def _model_spec(name: str, version: str | None, label: str | None) -> Any:
    spec = wire.ModelSpec(name=name)
    if version is not None:
        number = version_number(version)
        if number is None:
            raise invalid_argument(f"Failed to convert version: {version[:MAX_ECHO]} to numeric.")
        spec.version.value = number
    if label is not None:
        spec.version_label = label
    return spec


def _to_json(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        descriptor_pool=wire.pool,
    )


def _respond(start_response: StartResponse, status: HTTPStatus, content_type: str, text: str) -> Iterable[bytes]:
    body = text.encode()
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]
