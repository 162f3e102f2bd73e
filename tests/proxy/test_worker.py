"""The web server under the application, with clients that stall, are too many, or break off."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from http import HTTPStatus, client
from pathlib import Path

import pytest

from proxy.problems import status_name
from proxy.worker import FOLLOWING_SECONDS, PAUSE_SECONDS, SILENCE_SECONDS, Answering
from tests.processes import ROOT, Proxy, free_ports, http, proxy, running, wait_until

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LAST_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
PAGE = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
UPLOAD = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
LARGE = UPLOAD + b"Content-Length: 20000000\r\n\r\n"
FOLLOWING = 100
CHUNKED = UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Iterator[Proxy]:
    """A proxy of two threads and small bodies, without a model server."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("SCENERY_THREADS", "2")
        patch.setenv("SCENERY_MAX_BODY_BYTES", "100000")
        (port,) = free_ports(1)
        yield stack.enter_context(proxy(tmp_path_factory.mktemp("alone"), f"127.0.0.1:{port}"))


def connect(to: Proxy, sent: bytes) -> socket.socket:
    host, port = to.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(sent)
    return connection


def read(connection: socket.socket) -> tuple[int, str]:
    """Read an answer: its status and its body."""
    response = client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read().decode()


def worker_of(running_proxy: Proxy) -> int:
    master = running_proxy.process.pid
    (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return int(worker)


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_who_does_not_read_frees_the_thread(alone):
    """As many such clients as there are threads keep the others waiting for a while only."""
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connect(alone, 10 * PAGE))
        time.sleep(1)  # both have a thread
        began = time.monotonic()
        answer = stack.enter_context(connect(alone, HEALTH))
        assert read(answer)[0] == 200
        # Linux finds room for a part of a piece, once or twice, before it takes nothing for that long.
        assert time.monotonic() - began < 5 * SILENCE_SECONDS
    assert "Traceback" not in alone.log.read_text()


def test_without_file_descriptors_the_worker_lives(tmp_path):
    """Clients that were let in stay, the next ones wait; nothing is busy meanwhile."""
    (port,) = free_ports(1)
    with proxy(tmp_path, f"127.0.0.1:{port}") as full, ExitStack() as stack:
        worker = worker_of(full)
        held = [stack.enter_context(connect(full, HEALTH)) for _ in range(5)]
        assert {read(each)[0] for each in held} == {200}
        used = set(map(int, os.listdir(f"/proc/{worker}/fd")))
        next_free = min(set(range(len(used) + 1)) - used)
        _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (next_free, hard))
        waiting = stack.enter_context(connect(full, HEALTH))
        wait_until(lambda: "Nobody is let in" in full.log.read_text(), "the log to tell it", 10)
        before, complaints = cpu_seconds(worker), full.log.read_text().count("Nobody is let in")
        time.sleep(3 * PAUSE_SECONDS)
        assert cpu_seconds(worker) - before < PAUSE_SECONDS
        assert full.log.read_text().count("Nobody is let in") - complaints <= 4
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (hard, hard))
        assert read(waiting)[0] == 200
        held[0].sendall(HEALTH)
        assert read(held[0])[0] == 200
        assert worker_of(full) == worker


@pytest.mark.parametrize(
    "sent",
    [LARGE + bytes(1000), CHUNKED + b"30000\r\n" + bytes(0x30000) + b"\r\nzz\r\n"],
    ids=["stalls", "breaks HTTP"],
)
def test_too_large_a_body_that_breaks_off_is_too_large(alone, sent):
    """What was wrong first is told, and is no defect."""
    with connect(alone, sent) as connection:
        status, body = read(connection)
    assert (status, json.loads(body)["type"]) == (413, "urn:scenery:problem:too-many-bytes")
    assert "Traceback" not in alone.log.read_text()


def test_who_stalls_in_the_headers_is_told(alone):
    """That client gets a problem and the end; one that waits before its next request is left alone."""
    with connect(alone, HEALTH) as idle, connect(alone, HEALTH[:20]) as stalled:
        assert read(idle)[0] == 200
        status, body = read(stalled)
        assert (status, json.loads(body)["type"]) == (408, "urn:scenery:problem:request-timeout")
        assert stalled.recv(1) == b""
        idle.sendall(HEALTH)
        assert read(idle)[0] == 200
    assert "Traceback" not in alone.log.read_text()


def test_stalled_clients_do_not_lock_the_door(alone):
    """The end of such a connection keeps nobody out, however long its client holds on to it."""
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        stalled = [stack.enter_context(connect(alone, HEALTH[:20])) for _ in range(2)]
        assert {status for status, _ in pool.map(read, stalled)} == {408}
        began = time.monotonic()
        assert http("GET", f"{alone.url}/healthz")[0] == 200
        assert time.monotonic() - began < 1.5


def test_an_address_of_ipv6(tmp_path, monkeypatch):
    """SCENERY_LISTEN_HOST takes one as it is written, without brackets."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    monkeypatch.setenv("SCENERY_LISTEN_HOST", "::1")
    (port,) = free_ports(1)
    log = tmp_path / "log"
    with running("scenery", "proxy", "--port", str(port), log=log) as process:
        url = f"http://[::1]:{port}/healthz"
        wait_until(lambda: process.poll() is not None or http("GET", url)[0] == 200, "the proxy on ::1", 30)
        assert process.poll() is None, log.read_text()


def test_nothing_else_is_opened(tmp_path, monkeypatch):
    """Gunicorn's socket for orders is not there: nobody asked for it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (port,) = free_ports(1)
    with proxy(tmp_path, f"127.0.0.1:{port}") as plain:
        assert [each for each in tmp_path.rglob("*") if each != plain.log] == []


def switches_of(process: int) -> int:
    """Return how often a process's first thread, which waits for whoever is to be answered next, was woken."""
    status = Path(f"/proc/{process}/task/{process}/status").read_text()
    return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])


def test_requests_that_follow_one_another_stay_in_their_thread(alone):
    """A connection is not given back between two of them: that would wake the first thread twice for each."""
    with connect(alone, HEALTH) as busy:
        assert read(busy)[0] == 200
        before = switches_of(worker_of(alone))
        for _ in range(FOLLOWING):
            busy.sendall(HEALTH)
            assert read(busy)[0] == 200
        assert switches_of(worker_of(alone)) - before < FOLLOWING / 2


def test_nobody_waits_for_a_thread_that_waits(alone):
    """With more connections than threads, all of which ask again and again, everybody has an answer soon."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(alone, b"")) for _ in range(6)]
        began = time.monotonic()
        for _ in range(10):
            for each in clients:
                each.sendall(HEALTH)
            assert {read(each)[0] for each in clients} == {200}
        assert time.monotonic() - began < 15 * FOLLOWING_SECONDS


def test_two_requests_in_one_piece_are_answered_at_once(alone):
    """The second one is there already: no thread waits for it."""
    with connect(alone, b"") as connection:
        began = time.monotonic()
        for _ in range(20):
            connection.sendall(2 * HEALTH)
            answered = b""
            while answered.count(b"HTTP/1.1 200") < 2 or not answered.endswith(b"}\n"):
                answered += connection.recv(65536)
        assert time.monotonic() - began < 20 * FOLLOWING_SECONDS


def segments_received(connection: socket.socket) -> int:
    """Return how many pieces of data came in on a connection (tcpi_data_segs_in of Linux)."""
    return struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 152)[0]


def test_an_answer_is_sent_in_one_piece(alone):
    """Its head with its body, so that the client wakes up once."""
    with connect(alone, b"") as connection:
        for count in range(1, 6):
            connection.sendall(HEALTH)
            assert read(connection)[0] == 200
            assert segments_received(connection) == count


@pytest.fixture
def answering() -> Iterator[tuple[Callable[[str], Answering], Callable[[], bytes]]]:
    """What answers a method on a socket, and what is at its other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)

        def received() -> bytes:
            with suppress(BlockingIOError):
                return theirs.recv(100)
            return b""

        yield partial(Answering, ours), received


def test_a_head_waits_for_its_body(answering):
    """What comes after is sent as it comes; a file, too, comes after the head."""
    make, received = answering
    answer = make("GET")
    answer.sendall(b"HTTP/1.1 200 OK ")
    assert received() == b""
    answer.sendall(b"body")
    assert received() == b"HTTP/1.1 200 OK body"
    answer.sendall(b" and more")
    answer.flush()
    assert received() == b" and more"
    answer = make("GET")
    answer.sendall(b"HTTP/1.1 200 OK ")
    with open(os.devnull, "rb") as nothing:
        answer.sendfile(nothing)
    answer.flush()
    assert received() == b"HTTP/1.1 200 OK "


@pytest.mark.parametrize(
    ("method", "head"),
    [("HEAD", b"HTTP/1.1 200 OK"), ("GET", b"HTTP/1.1 304 Not Modified"), ("POST", b"HTTP/1.1 103 Early Hints")],
)
def test_a_head_without_a_body_does_not_wait(answering, method, head):
    """Nothing would come that it could wait for."""
    make, received = answering
    answer = make(method)
    answer.sendall(head)
    assert received() == head
    answer.flush()
    assert received() == b""


@pytest.mark.parametrize("size", [0, 5_000, 60_000, 3_000_000])
def test_a_body_that_nobody_reads_is_not_the_next_request(alone, size):
    """Whether it has come in before the answer, or comes after it."""
    refused = f"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    with connect(alone, refused + size * b"x" + LAST_HEALTH) as connection:
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"405", b"200"]
    with connect(alone, refused) as connection:
        assert read(connection)[0] == 405
        connection.sendall(size * b"x" + HEALTH)
        assert read(connection)[0] == 200


def test_who_still_sends_gets_the_answer(alone):
    """A large body that nobody reads is taken in, though the connection ends with the answer."""
    for _ in range(10):
        status, _, _ = http("POST", f"{alone.url}/healthz", 5_000_000 * b"x", more_headers={"Connection": "close"})
        assert status == 405


def test_an_answer_without_a_body(alone):
    """HEAD and OPTIONS are answered, and what follows on the connection, too."""
    head = client.HTTPConnection(alone.url.removeprefix("http://"), timeout=20)
    head.connect()
    connection = head.sock
    for method, path, status in (
        ("HEAD", "/", 200),
        ("GET", "/healthz", 200),
        ("OPTIONS", "/healthz", 200),
        ("HEAD", "/nowhere", 404),
    ):
        head.request(method, path)
        response = head.getresponse()
        assert (response.status, response.read() == b"") == (status, method != "GET")
    assert head.sock is connection
    head.close()


def figures_of(to: Proxy) -> str:
    with connect(to, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        return read(connection)[1]


def test_who_resets_a_connection_is_no_defect(alone):
    """A photo that breaks off because its sender is gone is the sender's matter: no traceback, no 500."""
    sent = UPLOAD + b"X-Request-ID: reset\r\nContent-Length: 50000\r\n\r\n" + 1000 * b"x"
    connection = connect(alone, sent)
    one_in_flight = "\nscenery_requests_in_flight 1.0\n"
    wait_until(lambda: one_in_flight in figures_of(alone), "the request to begin", 20)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    wait_until(lambda: '"request_id": "reset"' in alone.log.read_text(), "its line in the log", 20)
    assert "defect" not in alone.log.read_text()
    assert (
        '"request_id": "reset", "method": "POST", "route": "/v1/classify", "path": "/v1/classify", "status": 408'
        in (alone.log.read_text())
    )


MISSING = """
import sys
sys.modules["opentelemetry"] = None
sys.argv = ["scenery", "proxy", "--port", "0", "--otlp-endpoint", "http://127.0.0.1:4318"]
from scenery.cli import main
main()
"""


def test_traces_without_opentelemetry_stop_the_start():
    """One line names the setting, as for every other one; nothing listens."""
    command = [sys.executable, "-c", MISSING]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: SCENERY_OTLP_ENDPOINT ")
    assert done.returncode == 1


def test_names_of_statuses_are_the_same_in_every_python(alone):
    """Programs can rely on them: they are not Python's phrases, which its versions change."""
    names = {413: "too-many-bytes", 414: "uri-too-long", 422: "http-422", 501: "not-implemented"}
    assert {status: status_name(HTTPStatus(status)) for status in names} == names
    with connect(alone, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n") as connection:
        status, body = read(connection)
    assert (status, json.loads(body)["title"]) == (414, "Uri too long")
    assert json.loads(body)["type"] == "urn:scenery:problem:uri-too-long"
