"""The shipped server: gunicorn with threads, the application made in each worker after its fork."""

from __future__ import annotations

import socket
import struct
from http import HTTPStatus
from typing import Any

from flask import Flask, Response
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import ParseException

from proxy.app import create_app
from proxy.problems import ProblemError
from proxy.settings import Settings

SILENCE_SECONDS = 10
"""How long a client may send nothing in the middle of a request."""

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
            "post_worker_init": _limit_silence,
            "loglevel": "warning",
            "proc_name": "scenery-proxy",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        app = create_app(self._settings)
        app.register_error_handler(ParseException, _malformed)
        return app


def _limit_silence(worker: Any) -> None:
    """Let reads of accepted connections fail after a while, so that stalled clients free their thread.

    gunicorn has no such setting for threads; accepted sockets inherit the listener's.
    """
    timeout = struct.pack("ll", SILENCE_SECONDS, 0)
    for listener in worker.sockets:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)


def _malformed(error: ParseException) -> Response:
    """Answer a body that breaks off in its chunks, which only shows while it is read."""
    return ProblemError(HTTPStatus.BAD_REQUEST, "bad-request", f"The request is malformed: {error}.").response()


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the accepted requests; does not return."""
    _Gunicorn(settings).run()
