"""The shipped server: gunicorn with threads, the application made in each worker after its fork."""

from __future__ import annotations

from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from proxy.app import create_app
from proxy.settings import Settings

GRACE_SECONDS = 20
"""How long a stopping worker may take for the requests it has accepted."""


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"{self._settings.listen_host}:{self._settings.listen_port}",
            "worker_class": "gthread",
            "workers": self._settings.workers,
            "threads": self._settings.threads,
            "graceful_timeout": GRACE_SECONDS,
            "loglevel": "warning",
            "proc_name": "scenery-proxy",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(self._settings)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the accepted requests; does not return."""
    _Gunicorn(settings).run()
