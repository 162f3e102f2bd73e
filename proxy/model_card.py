"""The route that tells which model answers: its labels, its figures, where it comes from, its model card."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request

from proxy import card_text, deadline
from proxy.about import About
from proxy.classify import KEY_HEADER
from proxy.model_server import Target
from proxy.parts import Parts, parts
from proxy.photos import JSON_TYPE
from proxy.problems import problem
from proxy.schemas import VersionQuery, read_version
from proxy.scoring import Asked

PAGE_TYPE = "text/html"
CARD_TYPE = "text/markdown"

blueprint = Blueprint("model_card", __name__, template_folder="page")


@blueprint.get("/v1/model")
def model() -> Response:
    """Tell about the version that is asked for, or the one that answers photos now: as JSON, a page or Markdown."""
    use, query = parts(), read_version(request)
    expires = deadline.deadline_of(request.headers.get(deadline.HEADER), use.settings.timeout_seconds)
    about = use.abouts.get(_asked(use, query), expires)
    response = _as(_type(), use.model_server.model_name, about)
    response.vary.add("Accept")
    return response


def _asked(use: Parts, query: VersionQuery) -> Asked:
    """Return the version to ask: without a choice, the caller's by its key, or else the one that most callers get."""
    if query.version is not None or query.label is not None:
        return Asked(Target(query.label, query.version), True)
    key = request.headers.get(KEY_HEADER)
    return Asked(Target(use.traffic.main_label() if key is None else use.traffic.route(key).label), False)


def _type() -> str:
    """Return the type of the answer that the caller likes best; JSON, if it says nothing."""
    return request.accept_mimetypes.best_match([JSON_TYPE, PAGE_TYPE, CARD_TYPE], default=JSON_TYPE)


def _as(kind: str, name: str, about: About) -> Response:
    facts = _facts(name, about)
    if kind == PAGE_TYPE:
        page = render_template("model.html", **facts | {"card": about.card and card_text.as_html(about.card)})
        return Response(page, content_type=f"{PAGE_TYPE}; charset=utf-8")
    if kind == CARD_TYPE and about.card is None:
        detail = f"Version {about.version} has no model card. Ask for JSON, which tells what there is."
        raise problem("no-model-card", detail)
    return Response(about.card, content_type=f"{CARD_TYPE}; charset=utf-8") if kind == CARD_TYPE else jsonify(facts)


def _facts(name: str, about: About) -> dict[str, Any]:
    labels, thresholds = about.description.labels, about.description.thresholds
    provenance = dict(about.provenance)
    return {
        "model": name,
        "version": about.version,
        "labels": labels,
        "labels_from": about.description.source,
        "thresholds": {label: round(threshold, 6) for label, threshold in zip(labels, thresholds, strict=True)},
        "metrics": provenance.pop("metrics", None),
        "provenance": provenance,
        "card": about.card,
    }
