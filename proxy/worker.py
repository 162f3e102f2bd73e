"""gunicorn's threaded worker, held to what the proxy promises where gunicorn has no setting for it."""

from __future__ import annotations

import select
import socket
import struct
import time
from contextlib import suppress
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

from gunicorn import util
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import ExpectationFailed, LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import TConn, ThreadWorker

from proxy.problems import MEDIA_TYPE, ProblemError, stalled, status_name

SILENCE_SECONDS = 10
"""How long a client may send nothing in the middle of a request, or take nothing of its answer."""

PAUSE_SECONDS = 1.0
"""How long nobody is let in after that has failed; a listener with somebody waiting would keep a core busy."""

FOLLOWING_SECONDS = 0.05
"""How long a thread that answered waits for the next request on the connection, while others have nothing to do."""

PIECE_BYTES = 2**16
"""Most of an unread body that is taken at a time."""

_STATUSES = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}


class StalledError(Exception):
    """A client stopped before its headers were whole; no OSError, which gunicorn would log as a defect."""


class _Parser(RequestParser):  # type: ignore[misc]
    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> Any:
        """Throw away what is left of a body; what is here already at once, where gunicorn takes one KiB at a time."""
        reader = self.mesg.body.reader if self.mesg else None
        if isinstance(reader, LengthReader):
            _throw_away(reader, self.unreader)
            if not reader.length:
                return True
        return super().finish_body(deadline, max_bytes)

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except BlockingIOError as error:
            raise StalledError from error


class Answering:
    """A socket that sends the head of an answer with its body: who waits for it wakes up once."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._head: bytes | None = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: bytes) -> None:
        """Keep the first piece until the next, or until :meth:`flush`."""
        if self._head == b"":
            self._head = data
        else:
            head, self._head = self._head or b"", None
            self._sock.sendall(head + data)

    def flush(self) -> None:
        """Send a head that no body came after."""
        if self._head:
            self._sock.sendall(self._head)


class Worker(ThreadWorker):  # type: ignore[misc]
    """Answers photos from threads."""

    place: int
    """Of its count among those that workers share; set by the server."""

    _closed_until = 0.0
    """The time, monotonic, from which clients are let in again."""

    def init_process(self) -> None:
        """Let reads and writes of accepted connections fail after a while, so that who stalls frees the thread."""
        timeout = struct.pack("ll", SILENCE_SECONDS, 0)
        for listener in self.sockets:  # accepted sockets inherit them
            listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
            listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        super().init_process()

    def set_accept_enabled(self, enabled: bool) -> None:
        """Stop or go on accepting; a worker that ends takes in who was connected already, and shuts the door.

        A listener that stays open, as gunicorn would have it, lets clients in that nobody answers.
        """
        if enabled and time.monotonic() < self._closed_until:
            return  # gunicorn asks again, once a second or oftener
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

    def accept(self, listener: Any) -> None:
        """Let a client in; where that fails, for want of file descriptors mostly, pause: gunicorn would end."""
        try:
            super().accept(listener)
        except OSError as error:
            self.log.error("Nobody is let in for %s s: %s", PAUSE_SECONDS, error)
            self._closed_until = time.monotonic() + PAUSE_SECONDS
            super().set_accept_enabled(False)

    def handle(self, conn: TConn) -> Any:
        """Read a request and answer it, in a thread, and those that follow it at once.

        To give the connection back between two of them, and to be given it again, costs four changes of threads.
        """
        if conn.parser is None:
            conn.parser = _Parser(self.cfg, conn.sock, conn.client)
        kept = super().handle(conn)
        while kept is True and self._has_threads_to_spare() and _is_followed(conn):
            kept = super().handle(conn)
        return kept

    def _has_threads_to_spare(self) -> bool:
        """Tell whether half of the threads have nothing to do, so that nobody waits for one that waits."""
        held = self.nr_conns - len(self.keepalived_conns) - len(self.pending_conns)
        return bool(self.alive and 2 * held <= self.cfg.threads)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Answer a request; whoever does not read the answer loses the connection."""
        try:
            sock = Answering(conn.sock)
            kept = super().handle_request(req, SimpleNamespace(sock=sock, client=conn.client, server=conn.server))
            sock.flush()
            return kept
        except BlockingIOError:
            self.log.debug("A client that does not read its answer was cut off")
            _hang_up(conn.sock)
            return False

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer what breaks HTTP itself; gunicorn would answer in HTML."""
        if isinstance(exc, StalledError):
            self.log.debug("A client that stopped in its headers was given up")
            self._send(client, stalled())
            _hang_up(client)
        elif isinstance(exc, ParseException):
            self.log.warning("A request that breaks HTTP was refused: %s", type(exc).__name__)
            self._send(client, malformed(exc))
        else:
            super().handle_error(req, client, addr, exc)

    def _send(self, client: socket.socket, error: ProblemError) -> None:
        try:
            util.write_nonblock(client, _answer(error))
        except OSError:
            self.log.debug("The client is gone")


def _throw_away(reader: LengthReader, unreader: Any) -> None:
    """Take from the body what has come in, without waiting for more."""
    missing = reader.length - unreader.buf.tell()
    if missing > 0:
        with suppress(BlockingIOError):
            unreader.buf.write(unreader.sock.recv(min(missing, PIECE_BYTES), socket.MSG_DONTWAIT))
    if held := min(reader.length, unreader.buf.tell()):
        reader.read(held)


def _is_followed(conn: TConn) -> bool:
    """Wait for the next request on a connection; tells whether there is more to read."""
    if conn.parser.unreader.buf.getvalue():
        return True
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(FOLLOWING_SECONDS * 1000))


def _hang_up(client: socket.socket) -> None:
    """End a connection both ways; gunicorn would wait for its client, and let nobody in meanwhile."""
    with suppress(OSError):  # the client was faster
        client.shutdown(socket.SHUT_RDWR)


def malformed(error: ParseException) -> ProblemError:
    """Tell how a request breaks HTTP."""
    status = _STATUSES.get(type(error), HTTPStatus.BAD_REQUEST)
    return ProblemError(
        status, status_name(status), f"The request is malformed: {error}. Send it again, as HTTP asks for."
    )


def _answer(error: ProblemError) -> bytes:
    body = error.body()
    head = (
        f"HTTP/1.1 {error.status.value} {error.status.phrase}",
        "Connection: close",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*head, "", "")).encode() + body
