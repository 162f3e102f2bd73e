"""gunicorn's threaded worker, held to what the proxy promises where gunicorn has no setting for it."""

from __future__ import annotations

import json
import socket
import struct
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http.errors import ExpectationFailed, LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import ThreadWorker

from proxy.problems import MEDIA_TYPE, ProblemError

SILENCE_SECONDS = 10
"""How long a client may send nothing in the middle of a request."""

_STATUSES = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}


class Worker(ThreadWorker):  # type: ignore[misc]
    """Answers photos from threads."""

    place: int
    """Of its count among those that workers share; set by the server."""

    def init_process(self) -> None:
        """Let reads of accepted connections fail after a while, so that stalled clients free their thread."""
        timeout = struct.pack("ll", SILENCE_SECONDS, 0)
        for listener in self.sockets:  # accepted sockets inherit it
            listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        super().init_process()

    def set_accept_enabled(self, enabled: bool) -> None:
        """Stop or go on accepting; a worker that ends takes in who was connected already, and shuts the door.

        A listener that stays open, as gunicorn would have it, lets clients in that nobody answers.
        """
        ends = not enabled and not self.alive
        if ends:
            for listener in self.sockets:
                self._accept_all(listener)
        super().set_accept_enabled(enabled)
        if ends:
            for listener in self.sockets:
                listener.close()

    def _accept_all(self, listener: Any) -> None:
        connections = -1
        while self.nr_conns != connections:
            connections = self.nr_conns
            self.accept(listener)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer what breaks HTTP itself; gunicorn would answer in HTML."""
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("A request that breaks HTTP was refused: %s", type(exc).__name__)
        try:
            util.write_nonblock(client, _answer(malformed(exc)))
        except OSError:
            self.log.debug("The client is gone")


def malformed(error: ParseException) -> ProblemError:
    """Tell how a request breaks HTTP."""
    status = _STATUSES.get(type(error), HTTPStatus.BAD_REQUEST)
    name = status.phrase.lower().replace(" ", "-")
    return ProblemError(status, name, f"The request is malformed: {error}. Send it again, as HTTP asks for.")


def _answer(problem: ProblemError) -> bytes:
    body = json.dumps(problem.as_dict()) + "\n"
    head = (
        f"HTTP/1.1 {problem.status.value} {problem.status.phrase}",
        "Connection: close",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*head, "", body)).encode()
