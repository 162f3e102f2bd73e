"""The shipped server: gunicorn with threads, the application made in each worker after its fork."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from flask import Flask, Response
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import ParseException

from proxy.problems import ProblemError
from proxy.settings import FIGURES_FOLDER, Settings

SILENCE_SECONDS = 10
"""How long a client may send nothing in the middle of a request."""

GRACE_SECONDS = 20
"""How long a stopping worker may take for the requests it has accepted."""


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings, create_app: Callable[[Settings], Flask]) -> None:
        self._settings = settings
        self._create_app = create_app
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
        app = self._create_app(self._settings)
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


@contextmanager
def _shared_figures(workers: int) -> Iterator[None]:
    """Let several workers keep their figures in one folder, so that each can tell the sum."""
    if workers == 1:
        os.environ.pop(FIGURES_FOLDER, None)
        yield
        return
    folder, master = tempfile.mkdtemp(prefix="scenery-figures-"), os.getpid()
    os.environ[FIGURES_FOLDER] = folder
    try:
        yield
    finally:
        if os.getpid() == master:  # workers are forked inside and leave by the same way
            shutil.rmtree(folder, ignore_errors=True)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the accepted requests; does not return."""
    with _shared_figures(settings.workers):
        # Not earlier: prometheus_client chooses while it is imported whether workers share their figures.
        from proxy.app import create_app

        _Gunicorn(settings, create_app).run()
