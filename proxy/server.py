"""The shipped server: gunicorn with threads, the application made in each worker after its fork."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, Response
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import NoMoreData, ParseException

from proxy.admission import Admission, SharedCounts
from proxy.channel import credentials
from proxy.error_handlers import answer, silent_client
from proxy.fetch import parse_rule
from proxy.guard import Guard
from proxy.logs import GunicornLogger, configure_logging
from proxy.sample.folder import prepare
from proxy.settings import FIGURES_FOLDER, Settings, misspelt
from proxy.tracing import names_collector
from proxy.worker import Worker, malformed
from scenery.memory import keep_freed_memory

log = logging.getLogger(__name__)

GRACE_SECONDS = 20
"""How long a stopping worker may take for the requests it has accepted."""

KEEP_ALIVE_SECONDS = 75
"""How long a connection may wait for its next request; longer than load balancers keep theirs, 60 s mostly."""

_SLOTS = 64
"""For workers, those that end while others take over too; gunicorn can be told to start more."""


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings, create_app: Callable[[Settings, Admission], Flask]) -> None:
        self._settings = settings
        self._create_app = create_app
        self._counts = SharedCounts(max(_SLOTS, 2 * settings.workers))
        self._slot = 0
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": _address(self._settings),
            "worker_class": Worker,
            "workers": self._settings.workers,
            "threads": self._settings.threads,
            "graceful_timeout": GRACE_SECONDS,
            "keepalive": KEEP_ALIVE_SECONDS,
            "pre_fork": self._take_slot,
            "child_exit": self._forget,
            "logger_class": GunicornLogger,
            "loglevel": self._settings.log_level,
            "proc_name": "scenery-proxy",
            "sendfile": False,  # it waits for ever on a client that does not read, whatever the socket's timeout
            "control_socket_disable": True,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def _take_slot(self, _: Any, worker: Worker) -> None:
        self._slot = worker.slot = self._counts.take()  # the worker is forked next, and knows it then

    def _forget(self, _: Any, worker: Worker) -> None:
        from proxy.figures import forget_worker  # not earlier, as in run

        self._counts.give_back(worker.slot)
        forget_worker(worker.pid)

    def load(self) -> Flask:
        admission = Admission(self._settings.max_in_flight, self._settings.threads, self._counts, self._slot)
        app = self._create_app(self._settings, admission)
        # A body that breaks off in its chunks only shows while it is read.
        app.register_error_handler(ParseException, _malformed)
        app.register_error_handler(NoMoreData, silent_client)
        gc.collect()
        gc.freeze()  # what is here now stays: it need not be looked through while photos wait
        return app


def _address(settings: Settings) -> str:
    host = settings.listen_host
    return f"[{host.strip('[]')}]:{settings.listen_port}" if ":" in host else f"{host}:{settings.listen_port}"


def _malformed(error: ParseException) -> Response:
    return answer(malformed(error))


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


def _check(settings: Settings) -> None:
    """Try what else only workers would, whose errors gunicorn tells at length."""
    if settings.model_server_tls:
        credentials(settings)
    Guard(settings)
    for host in settings.url_hosts:
        parse_rule(host)
    names_collector(settings.otlp_endpoint)
    if settings.sample_folder is not None:
        prepare(settings.sample_folder)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the accepted requests; does not return.

    Raises
    ------
    ConfigurationError
        If a file or an address that a setting names cannot be used.
    """
    keep_freed_memory()
    configure_logging(settings.log_level)
    for sentence in misspelt():
        log.warning(sentence)
    with _shared_figures(settings.workers):
        # Not earlier: prometheus_client chooses while it is imported whether workers share their figures.
        from proxy.app import create_app

        _check(settings)
        _Gunicorn(settings, create_app).run()
