"""The Flask application: a photo in, its labels out."""

from __future__ import annotations

from typing import Any

from flask import Flask

from proxy import classify, figures, health
from proxy.model_server import ModelServer
from proxy.problems import register_problems
from proxy.settings import Settings, load_settings
from proxy.shadow import Shadow
from proxy.traffic import Traffic


def create_app(config: Settings | None = None) -> Flask:
    """Make the application; call it in each worker, after the fork, since it opens a gRPC channel.

    Parameters
    ----------
    config
        The settings; read from the environment if None.

    Raises
    ------
    ConfigurationError
        If an environment variable holds a wrong value.
    """
    settings = config or load_settings()
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["MAX_PHOTOS"] = settings.max_photos
    _extend(app, settings)
    register_problems(app)
    for blueprint in (classify.blueprint, figures.blueprint, health.blueprint):
        app.register_blueprint(blueprint)

    @app.get("/")
    def index() -> dict[str, Any]:
        """List the routes, for whoever opens the address."""
        rules = sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
        verbs = {rule.rule: sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}) for rule in rules}
        return {"service": "scenery", "routes": {rule: methods for rule, methods in verbs.items() if "<" not in rule}}

    return app


def _extend(app: Flask, settings: Settings) -> None:
    """Give the application what its requests share."""
    server = ModelServer(settings.model_server, settings.model_name, settings.timeout_seconds)
    counted = figures.Figures()
    app.extensions["model_server"] = server
    app.extensions["figures"] = counted
    app.extensions["traffic"] = Traffic(settings.traffic_file)
    app.extensions["shadow"] = Shadow(server, counted)
