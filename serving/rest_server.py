"""The HTTP server under the REST wire: cheroot's, on threads of its own."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from typing import Any

from cheroot import wsgi

from scenery import wire
from serving.data_plane import DataPlane
from serving.errors import ServingError
from serving.rest_wire import CLOSE, MAX_BODY_BYTES, RestWire

MAX_HEADER_BYTES = 64 * 2**10
_SILENT_SECONDS = 60
_BACKLOG = 1024
_READERS = 128
"""Threads beside those that answer: so many callers may send their bodies slowly, and hold up nobody."""


@dataclass(frozen=True)
class RestOptions:
    """Where and how REST is served."""

    host: str
    port: int
    threads: int
    timeout_seconds: float = 30.0
    cors: bool = False
    prometheus: wire.PrometheusConfig = field(default_factory=wire.PrometheusConfig)


class RestServer:
    """Serves the data plane over HTTP from :meth:`start` to :meth:`begin_stop`."""

    def __init__(self, plane: DataPlane, options: RestOptions) -> None:
        """Bind the port; raises :class:`ServingError` (``UNAVAILABLE``) if it is taken."""
        application = RestWire(plane, options.threads, options.timeout_seconds, options.cors, options.prometheus)
        self._server = wsgi.Server(
            (options.host, options.port),
            application,
            numthreads=options.threads + _READERS,
            request_queue_size=_BACKLOG,
        )
        self._server.gateway = _Gateway
        self._server.max_request_body_size = MAX_BODY_BYTES
        self._server.max_request_header_size = MAX_HEADER_BYTES
        self._thread = threading.Thread(target=self._server.serve, name="rest", daemon=True)
        self._stopper = threading.Thread(target=self._server.stop, name="rest-stop", daemon=True)
        try:
            self._server.prepare()
            _accept_speakers_only(self._server.socket)
        except OSError as error:
            raise ServingError(
                "UNAVAILABLE", f"The REST port {options.host}:{options.port} cannot be opened: {error}"
            ) from error

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def begin_stop(self, grace_seconds: float) -> None:
        """Refuse new connections, and give the requests in flight some time."""
        self._server.shutdown_timeout = grace_seconds
        self._stopper.start()

    def wait(self, seconds: float) -> bool:
        """Wait until no request is in flight any more; False if that took too long. Call :meth:`begin_stop` first."""
        self._stopper.join(max(0.0, seconds))
        return not self._stopper.is_alive()


class _Gateway(wsgi.Gateway_10):
    """Closes the connection where an answer says so: what comes next on it would be misread."""

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Take the status and the headers of an answer (PEP 3333)."""
        if CLOSE in headers:
            self.req.close_connection = True
        return super().start_response(status, headers, exc_info)


def _accept_speakers_only(listening: socket.socket) -> None:
    """Let the system hold connections on which nothing was sent yet, where it can (Linux): they take no thread."""
    if hasattr(socket, "TCP_DEFER_ACCEPT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _SILENT_SECONDS)
