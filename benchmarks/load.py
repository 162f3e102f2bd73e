"""Clients of a model server or a proxy in a process of their own: ``python -m benchmarks.load --help``.

Prints one JSON object: the latency of every call in ms, how many calls failed, and the seconds
that all of it took.

``sockets`` are clients of the proxy that cost hardly anything, since they share the cores with what they measure:
one thread, one prebuilt request, answers of which only status and length are read. They keep ``--clients`` requests
in flight, or begin ``--per-second`` of them at random moments, whether or not others were answered: an overload that
does not wait. Then a latency counts from the moment that the request was due, answers that shed load are told apart
from failures, and the process's own CPU seconds are told, with how late it was.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import selectors
import signal
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from scenery import contract

Send = Callable[[], object]

PAUSE_SECONDS = 0.1
"""After a failed call."""
DRAIN_SECONDS = 60.0
"""How long answers are awaited once no more requests begin."""
IDLE_SECONDS = 1.0
"""After which a connection is not used again: servers close idle ones, gunicorn after two seconds."""
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
CLASSIFY = "/v1/classify"
"""Where the proxy takes a photo as the body."""
SHED = (b"urn:scenery:problem:overloaded", b"urn:scenery:problem:rate-limited")


def main() -> None:
    """Call, from several threads, for some seconds or until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wire", choices=("grpc", "rest", "proxy", "sockets"))
    parser.add_argument("address", help="host:port")
    parser.add_argument("--photo", type=Path, default=Path("examples/sample.jpg"))
    parser.add_argument("--version", type=int, help="Of grpc: the version to ask; the latest, if left out.")
    parser.add_argument("--clients", type=int, default=1, help="Threads, each with a connection of its own.")
    parser.add_argument("--per-second", type=float, help="Of sockets: requests that begin, instead of --clients.")
    parser.add_argument("--path", default=CLASSIFY, help="Of sockets: where the photo goes.")
    parser.add_argument("--form", action="store_true", help="Of sockets: as the file of a form, not as the body.")
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    call = over_sockets if arguments.wire == "sockets" else from_threads
    print(json.dumps(call(arguments, stop)))


def from_threads(arguments: argparse.Namespace, stop: threading.Event) -> dict[str, Any]:
    """Call from threads, each with an ordinary client."""
    make: dict[str, Callable[[str, bytes], Send]] = {"rest": over_rest, "proxy": over_proxy}
    make["grpc"] = partial(over_grpc, version=arguments.version)
    photo = arguments.photo.read_bytes()
    milliseconds: list[float] = []
    failures: list[str] = []
    started = time.perf_counter()

    def client() -> None:
        send = make[arguments.wire](arguments.address, photo)
        while not stop.is_set() and time.perf_counter() - started < arguments.seconds:
            begun = time.perf_counter()
            try:
                send()
            except (OSError, AssertionError) as error:
                failures.append(str(error))
                time.sleep(PAUSE_SECONDS)
            else:
                milliseconds.append((time.perf_counter() - begun) * 1e3)

    threads = [threading.Thread(target=client) for _ in range(arguments.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    return {"milliseconds": milliseconds, "failures": failures[:10], "failed": len(failures), "seconds": seconds}


def over_grpc(address: str, photo: bytes, version: int | None = None) -> Send:
    """Return a call of ``Predict`` on a channel of its own; raises :class:`ConnectionError` if it fails."""
    # Imported here: the other clients start in a fifth of the time.
    import grpc
    import numpy as np

    from scenery import wire
    from scenery.wire.tensors import to_proto

    request = wire.PredictRequest()
    request.model_spec.name = contract.MODEL_NAME
    if version is not None:
        request.model_spec.version.value = version
    request.inputs[contract.INPUT_IMAGE_BYTES].CopyFrom(to_proto(np.array([photo], object)))
    channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
    predict = channel.unary_unary(
        f"/{wire.PREDICTION_SERVICE}/Predict",
        response_deserializer=wire.PredictResponse.FromString,
    )
    # Serialized once: the clients share the cores with the server that is measured.
    content = request.SerializeToString()

    def send() -> object:
        try:
            return predict(content, timeout=60)
        except grpc.RpcError as error:
            raise ConnectionError(str(error)) from error

    return send


def over_rest(address: str, photo: bytes) -> Send:
    """Return a ``:predict`` with the photo as base64, on a connection of its own."""
    body = json.dumps({"instances": [{"b64": b64encode(photo).decode()}]}).encode()
    return post(address, f"/v1/models/{contract.MODEL_NAME}:predict", body, "application/json")


def over_proxy(address: str, photo: bytes) -> Send:
    """Return a request with the photo as its body, on a connection of its own."""
    return post(address, CLASSIFY, photo, "image/jpeg")


def as_form(photo: bytes) -> tuple[bytes, str]:
    """Return a form whose one field, ``file``, is the photo, and its content type."""
    boundary = "what-stands-between-the-fields"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\n'
    body = f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + photo + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def post(address: str, path: str, body: bytes, content_type: str) -> Callable[[], bytes]:
    """Return a POST that must be answered with 200."""
    connection = http.client.HTTPConnection(address, timeout=60)

    def send() -> bytes:
        connection.request("POST", path, body, {"Content-Type": content_type})
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 200, answer
        return answer

    return send


def over_bare_socket(address: str, photo: bytes) -> Send:
    """Return the same, without an HTTP client: one piece is sent, and hardly anything read of the answer."""
    sockets = Sockets(address, photo)

    def send() -> None:
        answered = len(sockets.milliseconds)
        sockets.call()
        assert len(sockets.milliseconds) > answered, sockets.failures or "shed"

    return send


def over_sockets(arguments: argparse.Namespace, stop: threading.Event) -> dict[str, Any]:
    """Keep requests in flight, or begin them at random moments (a Poisson process, the same one every time)."""
    sockets = Sockets(arguments.address, arguments.photo.read_bytes(), arguments.path, arguments.form)
    started, worked = time.perf_counter(), time.process_time()
    ends = started + arguments.seconds
    if arguments.per_second is None:
        sockets.keep_in_flight(arguments.clients, ends, stop)
    else:
        sockets.begin(arguments.per_second, ends, stop)
    seconds, in_time = time.perf_counter() - started, len(sockets.milliseconds)
    cpu_seconds = time.process_time() - worked
    sockets.drain()
    drained_seconds = time.perf_counter() - started
    return {
        "milliseconds": sockets.milliseconds,
        "shed_milliseconds": sockets.shed_milliseconds,
        "failures": sockets.failures[:10],
        "failed": len(sockets.failures),
        "seconds": seconds,
        "in_time": in_time,
        "drained_seconds": drained_seconds,
        "late_milliseconds": sockets.late_milliseconds,
        "connections": sockets.opened,
        "cpu_seconds": cpu_seconds,
    }


@dataclass(eq=False)
class Connection:
    """A connection, and the request on it."""

    socket: socket.socket
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    answer: bytearray = field(default_factory=bytearray)
    due: float | None = None
    """When its request was to begin; None between two."""
    idle_since: float = 0.0


class Sockets:
    """Requests on as many connections as there are requests at a time, in one thread."""

    def __init__(self, address: str, photo: bytes, path: str = CLASSIFY, form: bool = False) -> None:
        host, _, port = address.rpartition(":")
        self._place = (host, int(port))
        body, content_type = as_form(photo) if form else (photo, "image/jpeg")
        head = f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {content_type}\r\n"
        self._request = memoryview(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self._selector = selectors.DefaultSelector()
        self._idle: list[Connection] = []
        self._in_flight: set[Connection] = set()
        self.milliseconds: list[float] = []
        self.shed_milliseconds: list[float] = []
        self.late_milliseconds: list[float] = []
        self.failures: list[str] = []
        self.opened = 0

    def call(self) -> None:
        """Send one request and wait for its answer."""
        self._send(time.perf_counter())
        self.drain()

    def keep_in_flight(self, clients: int, ends: float, stop: threading.Event) -> None:
        """Begin a request whenever another was answered."""
        while (now := time.perf_counter()) < ends and not stop.is_set():
            for _ in range(clients - len(self._in_flight)):
                self._send(now)
            self._wait(ends - now)

    def begin(self, per_second: float, ends: float, stop: threading.Event) -> None:
        """Begin requests when they are due, not when others were answered."""
        chance = random.Random(0)
        due = time.perf_counter()
        while due < ends and not stop.is_set():
            while due <= min(time.perf_counter(), ends):
                self.late_milliseconds.append((time.perf_counter() - due) * 1e3)
                self._send(due)
                due += chance.expovariate(per_second)
            self._wait(due - time.perf_counter())

    def drain(self) -> None:
        """Wait for the answers that are still to come; those that do not come have failed."""
        deadline = time.perf_counter() + DRAIN_SECONDS
        while self._in_flight and (seconds := deadline - time.perf_counter()) > 0:
            self._wait(seconds)
        for connection in list(self._in_flight):
            self._lose(connection, f"no answer {DRAIN_SECONDS:g} s after the last request")

    def _send(self, due: float) -> None:
        connection = self._fresh()
        connection.due, connection.unsent = due, self._request
        connection.answer.clear()
        self._in_flight.add(connection)
        self._push(connection)

    def _fresh(self) -> Connection:
        """Return an idle connection, the last used first, or open one."""
        while self._idle:
            connection = self._idle.pop()
            if time.perf_counter() - connection.idle_since < IDLE_SECONDS:
                return connection
            self._close(connection)
        opened = socket.socket()
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.connect_ex(self._place)  # whether it succeeds shows when it is written to
        self.opened += 1
        connection = Connection(opened)
        self._selector.register(opened, selectors.EVENT_READ, connection)
        return connection

    def _wait(self, seconds: float) -> None:
        for key, events in self._selector.select(max(0.0, seconds)):
            if events & selectors.EVENT_WRITE:
                self._push(key.data)
            if events & selectors.EVENT_READ:
                self._pull(key.data)

    def _push(self, connection: Connection) -> None:
        """Send as much as the other side takes, and watch for room if that is not all."""
        try:
            connection.unsent = connection.unsent[connection.socket.send(connection.unsent) :]
        except BlockingIOError:
            pass
        except OSError:  # an answer may be there all the same, or else the reason is
            connection.unsent = connection.unsent[:0]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        if wanted != self._selector.get_key(connection.socket).events:
            self._selector.modify(connection.socket, wanted, connection)

    def _pull(self, connection: Connection) -> None:
        """Read what there is of the answer."""
        try:
            received = connection.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(connection, str(error))
            return
        if not received:
            self._lose(connection, "the connection was closed")
            return
        connection.answer += received
        head, _, body = connection.answer.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if length and len(body) >= int(length[1]):
            self._finish(connection, bytes(head), bytes(body))

    def _finish(self, connection: Connection, head: bytes, body: bytes) -> None:
        milliseconds = (time.perf_counter() - (connection.due or 0.0)) * 1e3
        if int(head[9:12]) == HTTPStatus.OK:
            self.milliseconds.append(milliseconds)
        elif any(name in body for name in SHED):
            self.shed_milliseconds.append(milliseconds)
        else:
            self.failures.append(body.decode(errors="replace"))
        self._in_flight.discard(connection)
        if connection.unsent or b"connection: close" in head.lower():
            self._close(connection)
        else:
            connection.due, connection.idle_since = None, time.perf_counter()
            self._idle.append(connection)

    def _lose(self, connection: Connection, reason: str) -> None:
        """Close a connection that the other side has closed; that is a failure if a request was on it."""
        if connection.due is None:
            self._idle.remove(connection)
        else:
            self._in_flight.discard(connection)
            self.failures.append(reason)
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()


if __name__ == "__main__":
    main()
