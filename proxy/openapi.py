"""The API's description, OpenAPI 3.1, made of the types that validate requests; and Swagger UI to try it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from apispec import APISpec
from flask import Blueprint, Flask, redirect
from flask_swagger_ui import get_swaggerui_blueprint
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from proxy import deadline, request_id
from proxy.classify import KEY_HEADER
from proxy.model_card import CARD_TYPE, PAGE_TYPE
from proxy.photos import FORM_TYPE, JSON_TYPE, RAW_TYPE
from proxy.problems import KINDS, MEDIA_TYPE, kinds_table
from proxy.schemas import AboutModel, Alive, Answer, ClassifyQuery, JsonPhotos, Problem, Ready, VersionQuery
from proxy.settings import Settings

DOCUMENT_PATH = "/openapi.json"
DOCS_PATH = "/docs"

_BINARY = {"type": "string", "format": "binary"}
_MODELS: tuple[tuple[type[BaseModel], Any], ...] = (
    (JsonPhotos, "validation"),
    (Answer, "serialization"),
    (AboutModel, "serialization"),
    (Problem, "serialization"),
    (Alive, "serialization"),
    (Ready, "serialization"),
)
_INTRODUCTION = """Send a photo, get its labels.

Every error is a problem document (RFC 9457). Its `type` is `urn:scenery:problem:` and one of these:

"""


def register_openapi(app: Flask, settings: Settings) -> None:
    """Answer the document at ``/openapi.json``, and Swagger UI at ``/docs/``, from files of its package."""
    document = describe(settings)
    routes = Blueprint("openapi", __name__)
    routes.add_url_rule(DOCUMENT_PATH, "document", lambda: document)
    # Flask would name the host that the caller names, which may be anybody's.
    routes.add_url_rule(DOCS_PATH, "docs", lambda: redirect("docs/", HTTPStatus.PERMANENT_REDIRECT))
    app.register_blueprint(routes)
    interface = {"app_name": "Scenery", "validatorUrl": None, "layout": "BaseLayout", "docExpansion": "list"}
    app.register_blueprint(get_swaggerui_blueprint(DOCS_PATH, f"..{DOCUMENT_PATH}", config=interface))


def describe(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI document of a proxy with these settings."""
    info = {"description": _INTRODUCTION + kinds_table()}
    spec = APISpec("Scenery", version("scenery"), "3.1.0", info=info, servers=[{"url": "/"}])
    for name, schema in _schemas().items():
        spec.components.schema(name, schema)
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    spec.components.security_scheme("header", {"type": "apiKey", "in": "header", "name": "X-API-Key"})
    security: dict[str, Any] = {"security": [{"bearer": []}, {"header": []}]} if settings.api_keys_file else {}
    for path, operations in _paths(settings, security).items():
        spec.path(path, operations=operations)
    return spec.to_dict()


def _schemas() -> Mapping[str, Any]:
    _, definitions = models_json_schema(_MODELS, ref_template="#/components/schemas/{model}")
    schemas: Mapping[str, Any] = definitions["$defs"]
    return schemas


def _paths(settings: Settings, security: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        "/v1/classify": {
            "post": {
                "operationId": "classify",
                "summary": "Label photos",
                "description": "The fast way is the photo's bytes as the body. Of several photos, one that fails has "
                "its own error and the others still answer; if the only photo fails, its problem is the answer.",
                "parameters": [*_query_parameters(ClassifyQuery), *_PHOTO_HEADERS],
                "requestBody": {"required": True, "content": _photo_bodies(settings.max_photos)},
                "responses": _responses("Answer", _CLASSIFY_STATUSES),
                **security,
            }
        },
        "/v1/model": {
            "get": {
                "operationId": "model",
                "summary": "Tell which model answers",
                "description": "What the version says of itself. `Accept: text/html` gets a page, `text/markdown` the "
                "model card alone. It needs no key.",
                "parameters": [*_query_parameters(VersionQuery), *_HEADERS],
                "responses": {"200": _about()} | _problems((400, 404, 500, 502, 503, 504)),
            }
        },
        "/scorefile/": {
            "post": {
                "operationId": "scorefile",
                "summary": "Score one photo of a form",
                "description": "Label to score, three decimals: the answer of the FastImageClassification tutorial.",
                "parameters": _PHOTO_HEADERS,
                "requestBody": {"required": True, "content": {FORM_TYPE: {"schema": _form(max_photos=1)}}},
                "responses": {"200": _scores()} | _problems(_CLASSIFY_STATUSES),
                **security,
            }
        },
        "/healthz": {"get": _probe("healthz", "Whether the proxy lives", "Alive", ())},
        "/readyz": {"get": _probe("readyz", "Whether a photo can be answered", "Ready", (503,))},
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "summary": "Figures for Prometheus",
                "responses": {
                    "200": {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}
                },
            }
        },
    }


_CLASSIFY_STATUSES = (400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 502, 503, 504)


def _query_parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    properties = query.model_json_schema()["properties"]
    return [_parameter(name, "query", schema) for name, schema in properties.items()]


def _parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Describe a parameter; leaving it out is how none is said."""
    given = next(kind for kind in schema["anyOf"] if kind["type"] != "null")
    return {"name": name, "in": place, "required": False, "description": schema["description"], "schema": given}


def _header(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


_HEADERS = [
    _header(
        deadline.HEADER,
        {"type": "number", "exclusiveMinimum": 0},
        "Seconds that the answer may take; SCENERY_TIMEOUT_SECONDS at most.",
    ),
    _header(
        KEY_HEADER,
        {"type": "string"},
        "Stands for the caller: the same key is answered by the same version while a canary runs.",
    ),
    _header(
        request_id.HEADER,
        {"type": "string"},
        "Name of the request, in the answer, the log and the model server's calls: letters, digits, dots, hyphens and "
        "underscores, 128 at most; another one is made if it is not usable.",
    ),
]

_OPT_OUT = "Where the proxy keeps some photos to learn from, none of this request is kept if this is "
_PHOTO_HEADERS = [
    *_HEADERS,
    _header("Cache-Control", {"type": "string"}, f"{_OPT_OUT}`no-store`, alone or among others."),
    _header("Sec-GPC", {"type": "string"}, f"{_OPT_OUT}`1` (Global Privacy Control)."),
    _header("DNT", {"type": "string"}, f"{_OPT_OUT}`1`."),
]


def _photo_bodies(max_photos: int) -> dict[str, Any]:
    photo = {"schema": _BINARY}
    return {
        "image/*": photo,
        RAW_TYPE: photo,
        FORM_TYPE: {"schema": _form(max_photos)},
        JSON_TYPE: {"schema": {"$ref": "#/components/schemas/JsonPhotos"}},
    }


def _form(max_photos: int) -> dict[str, Any]:
    files = {"type": "array", "items": _BINARY, "minItems": 1, "maxItems": max_photos}
    return {"type": "object", "properties": {"file": files}, "required": ["file"]}


def _about() -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    about = {"schema": {"$ref": "#/components/schemas/AboutModel"}}
    return {"description": "OK", "content": {JSON_TYPE: about, PAGE_TYPE: text, CARD_TYPE: text}}


def _scores() -> dict[str, Any]:
    schema = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1}}
    return {"description": "Label to score", "content": {JSON_TYPE: {"schema": schema}}}


def _probe(name: str, summary: str, model: str, statuses: Iterable[int]) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": _responses(model, statuses)}


def _responses(model: str, statuses: Iterable[int]) -> dict[str, Any]:
    content = {JSON_TYPE: {"schema": {"$ref": f"#/components/schemas/{model}"}}}
    return {"200": {"description": "OK", "content": content}} | _problems(statuses)


def _problems(statuses: Iterable[int]) -> dict[str, Any]:
    """Describe each status by the kinds of problems that have it."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {
            "description": ", ".join(name for name, (each, _) in KINDS.items() if each == status)
            or HTTPStatus(status).phrase,
            "content": content,
        }
        for status in statuses
    }
