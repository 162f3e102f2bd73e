"""The HTTP server under the REST wire: cheroot's, on threads of its own."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from cheroot import wsgi

from scenery import wire
from serving.data_plane import DataPlane
from serving.errors import ServingError
from serving.rest_wire import MAX_BODY_BYTES, RestWire

MAX_HEADER_BYTES = 64 * 2**10
_BACKLOG = 128


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
    """Serves the data plane over HTTP from :meth:`start` to :meth:`stop`."""

    def __init__(self, plane: DataPlane, options: RestOptions) -> None:
        """Bind the port; raises :class:`ServingError` (``UNAVAILABLE``) if it is taken."""
        address = options.host, options.port
        application = RestWire(plane, options.timeout_seconds, options.cors, options.prometheus)
        self._server = wsgi.Server(address, application, numthreads=options.threads, request_queue_size=_BACKLOG)
        self._server.max_request_body_size = MAX_BODY_BYTES
        self._server.max_request_header_size = MAX_HEADER_BYTES
        self._thread = threading.Thread(target=self._server.serve, name="rest", daemon=True)
        try:
            self._server.prepare()
        except OSError as error:
            raise ServingError(
                "UNAVAILABLE", f"The REST port {options.host}:{options.port} cannot be opened: {error}"
            ) from error

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Refuse new connections and finish the requests in flight."""
        self._server.shutdown_timeout = grace_seconds
        self._server.stop()
        self._thread.join(grace_seconds)
