"""The HTTP server under the REST wire: cheroot's, on threads of its own."""

from __future__ import annotations

import threading

from cheroot import wsgi

from serving.data_plane import DataPlane
from serving.errors import ServingError
from serving.rest_wire import RestWire

MAX_BODY_BYTES = 256 * 2**20
MAX_HEADER_BYTES = 64 * 2**10


class RestServer:
    """Serves the REST wire on ``host:port`` from :meth:`start` to :meth:`stop`."""

    def __init__(self, plane: DataPlane, host: str, port: int, threads: int) -> None:
        """Bind the port; raises :class:`ServingError` (``UNAVAILABLE``) if it is taken."""
        self._server = wsgi.Server((host, port), RestWire(plane), numthreads=threads, request_queue_size=128)
        self._server.max_request_body_size = MAX_BODY_BYTES
        self._server.max_request_header_size = MAX_HEADER_BYTES
        self._thread = threading.Thread(target=self._server.serve, name="rest", daemon=True)
        try:
            self._server.prepare()
        except OSError as error:
            raise ServingError("UNAVAILABLE", f"The REST port {host}:{port} cannot be opened: {error}") from error

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Refuse new connections and finish the requests in flight."""
        self._server.shutdown_timeout = grace_seconds
        self._server.stop()
        self._thread.join(grace_seconds)
