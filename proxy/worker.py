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

from proxy.error_handlers import DRAINED_BYTES
from proxy.problems import MEDIA_TYPE, ProblemError, stalled, status_name

SILENCE_SECONDS = 10
"""How long a client may send nothing in the middle of a request, or take nothing of its answer."""

PAUSE_SECONDS = 1.0
"""How long nobody is let in after that has failed; a listener with somebody waiting would keep a core busy."""

FOLLOWING_SECONDS = 0.05
"""How long a thread that answered waits for the next request on the connection, while others have nothing to do."""

PIECE_BYTES = 2**16
"""Of a body that nobody read, thrown away at a time."""

_STATUSES = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}


class StalledError(Exception):
    """A client stopped before its headers were whole; no OSError, which gunicorn would log as a defect."""


class _Parser(RequestParser):  # type: ignore[misc]
    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> Any:
        """Throw away what is left of a body, for the next request; tells whether all of it came in time.

        gunicorn takes one KiB at a time, and gives the connection up after 64.
        """
        reader = self.mesg.body.reader if self.mesg else None
        if isinstance(reader, LengthReader) and not self.mesg.body.failed and reader.length <= DRAINED_BYTES:
            return _throw_away(reader, self.unreader, deadline or time.monotonic() + SILENCE_SECONDS)
        return super().finish_body(deadline, max_bytes)

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except BlockingIOError as error:
            raise StalledError from error


class Answering:
    """A socket that sends the head of an answer with its body: who waits for it wakes up once."""

    def __init__(self, sock: socket.socket, method: str) -> None:
        self._sock = sock
        self._method = method
        self._head: bytes | None = b""
        """Not sent yet; None once it is."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: bytes) -> None:
        """Keep a head that a body comes after until then, or until :meth:`flush`."""
        if self._head == b"" and self._has_body(data):
            self._head = data
        else:
            head, self._head = self._head or b"", None
            self._sock.sendall(head + data)

    def sendfile(self, *arguments: Any) -> int:
        """Send a file, after the head."""
        self.flush()
        return self._sock.sendfile(*arguments)

    def flush(self) -> None:
        """Send a head that no body came after."""
        if self._head:
            head, self._head = self._head, None
            self._sock.sendall(head)

    def _has_body(self, head: bytes) -> bool:
        """Tell whether a body comes after a head (RFC 9110, 6.4.1)."""
        status = head[9:12]
        return self._method != "HEAD" and status not in (b"204", b"304") and not status.startswith(b"1")


class Worker(ThreadWorker):  # type: ignore[misc]
    """Answers photos from threads."""

    slot: int
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
            sock = Answering(conn.sock, req.method)
            kept = super().handle_request(req, SimpleNamespace(sock=sock, client=conn.client, server=conn.server))
            sock.flush()
            return kept
        except BlockingIOError:
            self.log.debug("A client that does not read its answer was cut off")
            _hang_up(conn.sock)
            return False

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        """Take in what is left of a body even if the connection ends: its client would see a reset, not the answer."""
        all_came = super()._keepalive_after(conn, True)
        return bool(keepalive and all_came)

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


def _throw_away(reader: LengthReader, unreader: Any, deadline: float) -> bool:
    while reader.length:
        if not unreader.buf.tell():
            if not _is_readable(unreader.sock, deadline - time.monotonic()):
                return False
            unreader.buf.write(unreader.sock.recv(min(reader.length, PIECE_BYTES)))
            if not unreader.buf.tell():
                return False  # the client is gone
        reader.read(min(reader.length, unreader.buf.tell()))
    return True


def _is_followed(conn: TConn) -> bool:
    """Wait for the next request on a connection; tells whether there is more to read."""
    if conn.parser.unreader.buf.getvalue():
        return True
    return _is_readable(conn.sock, FOLLOWING_SECONDS)


def _is_readable(sock: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))


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
