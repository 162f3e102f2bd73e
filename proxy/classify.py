"""The routes that answer photos with labels."""

from __future__ import annotations

from collections import deque
from typing import Any

from flask import Blueprint, Response, after_this_request, current_app, request

from proxy.figures import figures
from proxy.labels import Labelling
from proxy.model_server import MODEL_NOT_SERVED, Call, ModelServer, Scored, model_server
from proxy.photos import Photo, read_photos
from proxy.problems import ProblemError
from proxy.shadow import Answered, Shadow
from proxy.traffic import Route
from scenery import contract

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

_INSTEAD: dict[str | None, tuple[str | None, ...]] = {
    contract.LABEL_CANARY: (contract.LABEL_STABLE, None),
    contract.LABEL_STABLE: (None,),
    None: (None,),
}
"""The labels to ask where one is not served: a request is worth more than the split. None is the latest version."""


def _label(photos: list[Photo]) -> list[Outcome]:
    """Label photos, a few of them at a time; for a share of the requests, another version gets them later."""
    route: Route = current_app.extensions["traffic"].route(request.headers.get(KEY_HEADER))
    outcomes = _outcomes(model_server(), photos, route.label)
    if route.shadow_label is not None:
        _shadow_later(photos, outcomes, route.shadow_label)
    return outcomes


def _outcomes(server: ModelServer, photos: list[Photo], label: str | None) -> list[Outcome]:
    outcomes: list[Outcome] = []
    pending: deque[tuple[Photo, Call]] = deque()
    for photo in photos:
        if len(pending) == AT_A_TIME:
            outcomes.append(_outcome(server, *pending.popleft()))
        pending.append((photo, server.classify(photo.content, label)))
    return outcomes + [_outcome(server, *each) for each in pending]


def _outcome(server: ModelServer, photo: Photo, call: Call) -> Outcome:
    outcome = _attempt(server, call)
    # A version may be unloaded between its scores and its first description, and a label may be gone: another answers.
    for label in _INSTEAD[call.label]:
        if not isinstance(outcome, ProblemError) or outcome.name != MODEL_NOT_SERVED:
            break
        outcome = _attempt(server, server.classify(photo.content, label))
    return outcome


def _attempt(server: ModelServer, call: Call) -> Outcome:
    """Wait for a call, name its scores, and count how it went."""
    version: int | None = None
    try:
        scored = server.scored(call)
        version = scored.version
        labelling = server.labelling(scored)
    except ProblemError as problem:
        figures().failed(call.label, version, problem.name)
        return problem
    figures().answered(call.label, scored, labelling)
    return scored, labelling


def _shadow_later(photos: list[Photo], outcomes: list[Outcome], shadow_label: str) -> None:
    """Show the photos that were answered to another version, once the answer's bytes are out."""
    shadow: Shadow = current_app.extensions["shadow"]
    answered = [
        Answered(photo.content, outcome[0].version, outcome[1], shadow_label)
        for photo, outcome in zip(photos, outcomes, strict=True)
        if not isinstance(outcome, ProblemError)
    ]

    @after_this_request
    def offer_when_sent(response: Response) -> Response:
        response.call_on_close(lambda: shadow.offer(answered))
        return response


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
