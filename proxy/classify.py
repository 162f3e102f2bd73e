"""The routes that answer photos with labels."""

from __future__ import annotations

from collections import deque
from http import HTTPStatus
from typing import Any

from flask import Blueprint, current_app, request

from proxy.labels import Labelling, label_scores
from proxy.model_server import MODEL_NOT_SERVED, ModelServer, Scored, model_server
from proxy.photos import Photo, read_photos
from proxy.problems import ProblemError

blueprint = Blueprint("classify", __name__)


KEY_HEADER = "X-Request-Key"
"""What stands for the caller: the same key is answered by the same version while a canary runs."""

AT_A_TIME = 4
"""Photos of one request that the model server is asked for at a time."""


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


@blueprint.post("/scorefile/", strict_slashes=False)
def scorefile() -> dict[str, float]:
    """Score the one photo of a form, as the tutorial's service did: label to score, three decimals."""
    (outcome,) = _label(read_photos(request, max_photos=1))
    if isinstance(outcome, ProblemError):
        raise outcome
    _, labelling = outcome
    return {label: round(score, 3) for label, score in labelling.scores.items()}


Outcome = tuple[Scored, Labelling] | ProblemError


def _label(photos: list[Photo]) -> list[Outcome]:
    """Label photos, a few of them at a time."""
    server = model_server()
    label = current_app.extensions["traffic"].label(request.headers.get(KEY_HEADER))
    outcomes: list[Outcome] = []
    pending: deque[tuple[Photo, Any]] = deque()
    for photo in photos:
        if len(pending) == AT_A_TIME:
            outcomes.append(_outcome(server, *pending.popleft()))
        pending.append((photo, server.classify(photo.content, label)))
    return outcomes + [_outcome(server, *each) for each in pending]


def _outcome(server: ModelServer, photo: Photo, call: Any) -> Outcome:
    try:
        return _labelled(server, call)
    except ProblemError as problem:
        if problem.name != MODEL_NOT_SERVED:
            return problem
    # A version may be unloaded between its scores and its first description, and a label may be gone: the
    # latest version answers.
    try:
        return _labelled(server, server.classify(photo.content))
    except ProblemError as problem:
        return problem


def _labelled(server: ModelServer, call: Any) -> tuple[Scored, Labelling]:
    scored = server.scored(call)
    description = server.describe(scored.version)
    if len(description.labels) != len(scored.scores):
        description = server.describe(scored.version, refresh=True)
    if len(description.labels) != len(scored.scores):
        raise ProblemError(
            HTTPStatus.BAD_GATEWAY,
            "model-server-failed",
            f"Version {scored.version} gave {len(scored.scores)} scores and describes "
            f"{len(description.labels)} labels. Export it again.",
        )
    return scored, label_scores(description, scored.scores)


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
