"""The routes that answer photos with labels."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app, request

from proxy.labels import Labelling, label_scores
from proxy.model_server import ModelServer, Scored
from proxy.photos import Photo, read_photos
from proxy.problems import ProblemError

blueprint = Blueprint("classify", __name__)


def model_server() -> ModelServer:
    """Return the application's model server."""
    server: ModelServer = current_app.extensions["model_server"]
    return server


@blueprint.post("/v1/classify")
def classify() -> dict[str, Any]:
    """Label the photos of the request, each on its own.

    Of several photos, one that fails has its own ``error`` and the others still answer; if a
    single photo was sent, its problem is the answer.
    """
    photos = read_photos(request, current_app.config["MAX_PHOTOS"])
    outcomes = _label(photos)
    if len(outcomes) == 1 and isinstance(outcomes[0], ProblemError):
        raise outcomes[0]
    answers = [_answer(photo, outcome) for photo, outcome in zip(photos, outcomes, strict=True)]
    return {"model": model_server().model_name, "photos": answers}


@blueprint.post("/scorefile/")
def scorefile() -> dict[str, float]:
    """Score the one photo of a form, as the tutorial's service did: label to score, three decimals."""
    (outcome,) = _label(read_photos(request, max_photos=1))
    if isinstance(outcome, ProblemError):
        raise outcome
    _, labelling = outcome
    return {label: round(score, 3) for label, score in labelling.scores.items()}


Outcome = tuple[Scored, Labelling] | ProblemError


def _label(photos: list[Photo]) -> list[Outcome]:
    """Label photos; all are asked for before the first is waited for."""
    server = model_server()
    calls = [server.classify(photo.content) for photo in photos]
    return [_outcome(server, call) for call in calls]


def _outcome(server: ModelServer, call: Any) -> Outcome:
    try:
        scored = server.scored(call)
        return scored, label_scores(server.describe(scored.version), scored.scores)
    except ProblemError as problem:
        return problem


def _answer(photo: Photo, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, ProblemError):
        return {"file": photo.file, "error": outcome.as_dict()}
    scored, labelling = outcome
    return {
        "file": photo.file,
        "version": scored.version,
        "labels": labelling.labels,
        "scores": labelling.scores,
        "top": {"index": labelling.top_index, "label": labelling.top_label},
    }
