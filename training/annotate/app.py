"""The page's server: tells the task, shows photos, and writes a photo's file with each answer.

Everything lies below ``/TOKEN/``: the page itself, ``task``, ``photos/NAME``, ``annotations/NAME``, ``done``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, jsonify, request, send_from_directory
from werkzeug.exceptions import HTTPException

from scenery.errors import DataError
from scenery.files import stamp
from scenery.sample import sureness
from training.annotate.guard import register_guard
from training.annotate.labelme import Annotation, annotation_path, read_annotation, write_annotation
from training.annotate.task import Task

MAX_BODY_BYTES = 64 * 2**10
_PAGE = Path(__file__).parent / "page"
_NO_THRESHOLD = 0.5


def create_app(task: Task, token: str, done: Callable[[], None]) -> Flask:
    """Make the application.

    Parameters
    ----------
    token
        What the path of every request begins with; who does not know it gets 404.
    done
        Called when the person is done.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    names = frozenset(task.names())
    writing = threading.Lock()
    register_guard(app, token)

    @app.get(f"/{token}/")
    def index() -> Response:
        return send_from_directory(_PAGE, "index.html")

    @app.get(f"/{token}/page/<name>")
    def static(name: str) -> Response:
        return send_from_directory(_PAGE, name)

    @app.get(f"/{token}/task")
    def tell_task() -> Response:
        return jsonify(describe(task))

    @app.get(f"/{token}/photos/<path:name>")
    def photo(name: str) -> Response:
        return send_from_directory(task.folder.resolve(), _known(name, names))

    @app.get(f"/{token}/annotations/<path:name>")
    def annotation(name: str) -> Response:
        return jsonify(tell(task, _known(name, names)))

    @app.put(f"/{token}/annotations/<path:name>")
    def annotate(name: str) -> tuple[Response, int]:
        asked = _checked(request.get_json(), task)
        with writing:
            now = tell(task, _known(name, names))
            if asked["version"] != now["version"]:
                return jsonify(now), 409
            flags = now["others"] | asked["flags"]
            write_annotation(task.photo(name), flags, None, asked["confirmed"])
            return jsonify(tell(task, name)), 200

    @app.post(f"/{token}/done")
    def finish() -> tuple[str, int]:
        done()
        return "", 204

    @app.errorhandler(DataError)
    def explain(error: DataError) -> tuple[Response, int]:
        return jsonify(detail=str(error)), 422

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> tuple[Response, int]:
        return jsonify(detail=error.description), error.code or 500

    return app


def describe(task: Task) -> dict[str, Any]:
    """Tell the labels and the photos: those first that a model is least sure of, those without scores last."""
    annotations, _ = task.annotations()
    names = sorted(task.names(), key=lambda name: (_sureness(annotations.get(name), task), name))
    photos = [{"name": name, "labelled": _is_labelled(annotations.get(name), task)} for name in names]
    return {"labels": task.labels, "photos": photos}


def tell(task: Task, name: str) -> dict[str, Any]:
    """Tell what is known of a photo, and the version of its file: another one means that somebody wrote it.

    Raises
    ------
    DataError
        If its file cannot be read.
    """
    photo = task.photo(name)
    version = "-".join(map(str, stamp(annotation_path(photo)) or ()))
    known = read_annotation(photo) or Annotation({}, confirmed=False)
    return {
        "name": name,
        "flags": {label: known.flags.get(label, False) for label in task.labels},
        "others": {flag: value for flag, value in known.flags.items() if flag not in task.labels},
        "labelled": _is_labelled(known, task),
        "confirmed": known.confirmed,
        "missing": [label for label in task.labels if label not in known.flags],
        "scores": {label: known.scores[label] for label in task.labels if label in known.scores},
        "thresholds": known.thresholds,
        "version": version,
    }


def _is_labelled(annotation: Annotation | None, task: Task) -> bool:
    return annotation is not None and annotation.confirmed and annotation.flags.keys() >= set(task.labels)


def _sureness(annotation: Annotation | None, task: Task) -> float:
    """Return how sure a model is of the task's labels, from 0 to 1; more than 1 if it scored none of them."""
    known = annotation.scores if annotation else {}
    scores = {label: known[label] for label in task.labels if label in known}
    if annotation is None or not scores:
        return 2.0
    return sureness(scores, dict.fromkeys(scores, _NO_THRESHOLD) | annotation.thresholds)


def _known(name: str, names: frozenset[str]) -> str:
    if name not in names:
        abort(404, f"The task has no photo {name}.")
    return name


def _checked(asked: Any, task: Task) -> dict[str, Any]:
    """Return the body of an answer, or end with status 400."""
    flags = asked.get("flags") if isinstance(asked, dict) else None
    if (
        not isinstance(flags, dict)
        or not flags.keys() <= set(task.labels)
        or not all(isinstance(value, bool) for value in [*flags.values(), asked.get("confirmed")])
        or not isinstance(asked.get("version"), str)
    ):
        abort(400, 'Send {"flags": {LABEL: true or false}, "confirmed": …, "version": …}.')
    return dict(asked)
