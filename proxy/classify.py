"""The routes that answer photos with labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Request, Response, after_this_request

from proxy import deadline
from proxy.exchange import running_request
from proxy.labels import Labelling, narrow
from proxy.logs import note, note_photo
from proxy.model_server import Scored, Target
from proxy.parts import Parts, parts
from proxy.photos import JSON_TYPE, Photo
from proxy.problems import ProblemError
from proxy.sample import choice
from proxy.sample.sample import Sample
from proxy.schemas import ClassifyQuery, read_query
from proxy.scoring import Asked
from proxy.several import each
from proxy.shadow import Answered

KEY_HEADER = "X-Request-Key"
"""What stands for the caller: the same key is answered by the same version while a canary runs."""

blueprint = Blueprint("classify", __name__)
ENDPOINTS = frozenset({"classify.classify", "classify.scorefile"})
"""The routes that cost something."""

_encode = json.JSONEncoder(separators=(",", ":")).encode
"""Flask's jsonify makes an encoder for each answer."""

Outcome = tuple[Scored, Labelling] | ProblemError


@blueprint.post("/v1/classify")
def classify() -> Response:
    """Label the photos of the request, each on its own.

    Of several photos, one that fails has its own ``error`` and the others still answer; if a
    single photo was sent, its problem is the answer.
    """
    use, asking = parts(), running_request()
    query = read_query(asking)
    photos, outcomes = _label(use, asking, query, use.settings.max_photos)
    if len(outcomes) == 1 and isinstance(outcomes[0], ProblemError):
        raise outcomes[0]
    answers = [_answer(use, photo, outcome, query) for photo, outcome in zip(photos, outcomes, strict=True)]
    answer = {"model": use.model_server.model_name, "photos": answers}
    return Response(_encode(answer) + "\n", content_type=JSON_TYPE)


@blueprint.post("/scorefile/", strict_slashes=False)
def scorefile() -> dict[str, float]:
    """Score the one photo of a form, as the tutorial's service did: label to score, three decimals."""
    _, (outcome,) = _label(parts(), running_request(), ClassifyQuery(), max_photos=1)
    if isinstance(outcome, ProblemError):
        raise outcome
    _, labelling = outcome
    return {label: round(score, 3) for label, score in labelling.scores.items()}


def _label(use: Parts, asking: Request, query: ClassifyQuery, max_photos: int) -> tuple[list[Photo], list[Outcome]]:
    """Read the photos of a request and label them; for a share of the requests, another version gets them later."""
    expires = deadline.deadline_of(asking.headers.get(deadline.HEADER), use.settings.timeout_seconds)
    photos = use.reader.photos(asking, max_photos)
    contents = each(lambda photo: use.reader.content(photo, expires), photos)
    asked, shadow_label = _asked(use, asking, query)
    with use.admission.admitted(expires):
        outcomes = each(lambda content: use.scoring.label(content, asked, expires), contents)
    note(photos=len(photos), versions=[each[0].version for each in outcomes if not isinstance(each, ProblemError)])
    if shadow_label is not None:
        _shadow_later(use, contents, outcomes, shadow_label)
    if use.sample is not None and choice.may_be_kept(asking.headers):
        _sample_later(use.sample, contents, outcomes)
    return photos, outcomes


def _asked(use: Parts, asking: Request, query: ClassifyQuery) -> tuple[Asked, str | None]:
    """Return what is asked of the photos, and the label of the version that gets them as well, if any does."""
    if query.version is not None or query.label is not None:
        return Asked(Target(query.label, query.version), True), None
    route = use.traffic.route(asking.headers.get(KEY_HEADER))
    return Asked(Target(route.label), False), route.shadow_label


def _shadow_later(
    use: Parts, contents: Sequence[bytes | ProblemError], outcomes: Sequence[Outcome], shadow_label: str
) -> None:
    """Show the photos that were answered to another version, once the answer's bytes are out."""
    photos = _answered(contents, outcomes)
    answered = [Answered(content, scored.version, labelling, shadow_label) for content, scored, labelling in photos]
    _when_sent(lambda: use.shadow.offer(answered))


def _sample_later(sample: Sample, contents: Sequence[bytes | ProblemError], outcomes: Sequence[Outcome]) -> None:
    """Let photos that were answered be kept to learn from, once the answer's bytes are out."""
    photos = _answered(contents, outcomes)
    answered = [choice.Answered(content, scored.version, labelling) for content, scored, labelling in photos]
    _when_sent(lambda: sample.offer(answered))


def _answered(
    contents: Sequence[bytes | ProblemError], outcomes: Sequence[Outcome]
) -> list[tuple[bytes, Scored, Labelling]]:
    """Return the photos that got an answer, with it."""
    return [
        (content, *outcome)
        for content, outcome in zip(contents, outcomes, strict=True)
        if not isinstance(content, ProblemError) and not isinstance(outcome, ProblemError)
    ]


def _when_sent(work: Callable[[], None]) -> None:
    @after_this_request
    def call_when_sent(response: Response) -> Response:
        response.call_on_close(work)
        return response


def _answer(use: Parts, photo: Photo, outcome: Outcome, query: ClassifyQuery) -> dict[str, Any]:
    if isinstance(outcome, ProblemError):
        use.figures.refused(outcome.name, outcome.status)
        return {"file": photo.file, "error": outcome.as_dict()}
    scored, labelling = outcome[0], narrow(outcome[1], query.threshold, query.top)
    if use.settings.log_photos:
        note_photo(photo.file, labelling.labels, labelling.scores)
    return {
        "file": photo.file,
        "version": scored.version,
        "labels": labelling.labels,
        "labels_from": labelling.source,
        "scores": labelling.scores,
        "top": {"index": labelling.top_index, "label": labelling.top_label},
    }
