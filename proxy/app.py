"""The Flask application: a photo in, its labels out."""

from __future__ import annotations

from flask import Flask

from proxy import classify, figures, health, model_card, page
from proxy.abouts import Abouts
from proxy.admission import Admission
from proxy.channel import open_channel
from proxy.error_handlers import register_error_handlers
from proxy.guard import Guard, register_guard
from proxy.logs import register_request_log
from proxy.model_server import Metadata, ModelServer
from proxy.openapi import DOCS_PATH, register_openapi
from proxy.parts import Parts
from proxy.photos import PhotoReader
from proxy.readiness import Readiness
from proxy.request_id import METADATA_KEY, current_request_id, register_request_id
from proxy.safe_headers import register_safe_headers
from proxy.sample.sample import make_sample
from proxy.scoring import Scoring
from proxy.settings import Settings, load_settings
from proxy.shadow import Shadow
from proxy.shedding import register_shedding
from proxy.tracing import start_tracing, trace_metadata, upstream_span
from proxy.traffic import Traffic


def create_app(config: Settings | None = None, admission: Admission | None = None) -> Flask:
    """Make the application; call it in each worker, after the fork, since it opens a gRPC channel.

    Parameters
    ----------
    config
        The settings; read from the environment if None.
    admission
        Counts the requests in flight, with those of other workers; alone if None.

    Raises
    ------
    ConfigurationError
        If an environment variable holds a wrong value.
    """
    settings = config or load_settings()
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    shared = _parts(settings, admission or Admission(settings.max_in_flight, settings.threads))
    app.extensions["scenery"] = shared
    _watch(app, settings, shared)
    register_guard(app, Guard(settings), classify.ENDPOINTS)
    register_error_handlers(app)
    for blueprint in (classify.blueprint, model_card.blueprint, figures.blueprint, health.blueprint, page.blueprint):
        app.register_blueprint(blueprint)
    register_openapi(app, settings)
    register_shedding(app, classify.ENDPOINTS, shared.admission, shared.figures)
    register_safe_headers(app, inline_below=DOCS_PATH)
    return app


def _watch(app: Flask, settings: Settings, shared: Parts) -> None:
    """Let every request be named, logged, counted and traced."""
    register_request_id(app)
    register_request_log(app, settings.log_photos)
    figures.register_figures(app, shared.figures)
    start_tracing(app, settings.otlp_endpoint)


def _parts(settings: Settings, admission: Admission) -> Parts:
    """Make what the requests of the application share."""
    server = ModelServer(open_channel(settings), settings.model_name, settings.labels, _metadata, upstream_span)
    counted = figures.Figures()
    scoring, traffic = Scoring(server, counted), Traffic(settings.traffic_file)
    return Parts(
        settings=settings,
        model_server=server,
        abouts=Abouts(server, admission),
        figures=counted,
        traffic=traffic,
        reader=PhotoReader(settings),
        admission=admission,
        scoring=scoring,
        readiness=Readiness(scoring, traffic, settings.timeout_seconds),
        shadow=Shadow(server, counted, settings.timeout_seconds),
        sample=make_sample(settings, counted),
    )


def _metadata() -> Metadata:
    """Return what a call of the model server carries: the request's id, and its trace."""
    request_id = current_request_id()
    return (*(((METADATA_KEY, request_id),) if request_id else ()), *trace_metadata())
