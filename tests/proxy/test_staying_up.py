"""The proxy when model servers go, when too much comes, and when it is told to end."""

from __future__ import annotations

import http.client
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.photographs import bombs
from tests.processes import ROOT, free_ports, model_server, proxy, wait_until
from tests.processes import http as fetch
from tests.proxy.scraped import page, series

FLAGS = ("--model_name=scenery", "--grpc_max_threads=64", f"--monitoring_config_file={ROOT}/monitoring.config")


def served_requests(server) -> int:
    """Return how many requests a model server has had, by its own count."""
    with ExitStack() as stack:
        connection = http.client.HTTPConnection(server.rest.removeprefix("http://"))
        stack.callback(connection.close)
        connection.request("GET", "/monitoring/prometheus/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    counts = [line for line in lines if line.startswith(":tensorflow:serving:request_count{")]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in counts)


class Load:
    """Clients that send a photo again and again, each on a connection that stays open, until stopped."""

    def __init__(self, url: str, photo: bytes, clients: int) -> None:
        self.answers: Counter[object] = Counter()
        self._address = url.removeprefix("http://")
        self._photo = photo
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        while not self._stop.is_set():
            try:
                connection.request("POST", "/v1/classify", self._photo, {"Content-Type": "image/jpeg"})
                response = connection.getresponse()
                response.read()
                self.answers[response.status] += 1
            except ConnectionRefusedError:
                self.answers["refused"] += 1
                return
            except (OSError, http.client.HTTPException) as error:
                self.answers[repr(error)] += 1
        connection.close()

    def stop(self) -> Counter[object]:
        """Let the clients finish; returns how often each status, or error, was the answer."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        return self.answers


def test_one_of_several_model_servers_dies_and_no_request_fails(tmp_path, exported, photo):
    """Two servers behind one name take turns; when one is killed the other one answers what it had begun, too."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(model_server(tmp_path, *FLAGS, f"--model_base_path={exported}")) for _ in range(2)
        ]
        name = "ipv4:" + ",".join(server.grpc for server in servers)
        spread = stack.enter_context(proxy(tmp_path, name))
        assert {spread.classify(photo)[0] for _ in range(20)} == {200}
        assert min(served_requests(server) for server in servers) >= 5
        load = Load(spread.url, photo, 4)
        wait_until(lambda: load.answers[200] > 50, "answers of both")
        servers[0].process.kill()
        servers[0].process.wait()
        seen = load.answers[200]
        wait_until(lambda: load.answers[200] > seen + 50, "answers of the other")
        assert set(load.stop()) == {200}


def test_too_much_is_refused_at_once_and_the_rest_is_answered(tmp_path, served, photo, monkeypatch):
    """Beyond what may be in flight a request is told to come again, and whoever does is answered."""
    monkeypatch.setenv("SCENERY_MAX_IN_FLIGHT", "1")
    with proxy(tmp_path, served.grpc) as small, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: small.classify(photo), range(80)))
        statuses = Counter(status for status, _, _ in answers)
        assert set(statuses) == {200, 503}
        refused = [(answer, headers) for status, answer, headers in answers if status == 503]
        assert {answer["type"] for answer, _ in refused} == {"urn:scenery:problem:overloaded"}
        assert all(headers["Retry-After"] == "1" and headers["X-Request-ID"] for _, headers in refused)
        assert small.classify(photo)[0] == 200
        figures = page(small.url)
        assert series(figures, "scenery_shed_total", "reason") == {("overloaded",): statuses[503]}
        counted = series(figures, "scenery_requests_total", "route", "status")
        assert counted[("/v1/classify", "503")] == statuses[503]
        assert counted[("/v1/classify", "200")] == statuses[200] + 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_loses_no_request(tmp_path, served, photo, monkeypatch, workers):
    """Whoever was let in is answered; who comes later is turned away, never cut off."""
    monkeypatch.setenv("SCENERY_WORKERS", workers)
    with proxy(tmp_path, served.grpc) as ending:
        load = Load(ending.url, photo, 6)
        wait_until(lambda: load.answers[200] > 30, "answers")
        ending.process.send_signal(signal.SIGTERM)
        assert ending.process.wait(30) == 0
        assert set(load.stop()) == {200, "refused"}


def test_a_bomb_is_refused_by_its_header(tmp_path, photo):
    """No model server is asked about it, and nothing of it is unpacked: the proxy's memory stays as it was."""
    (port,) = free_ports(1)
    with proxy(tmp_path, f"127.0.0.1:{port}") as alone:
        assert alone.classify(photo)[0] == 503
        before = resident_mib(alone.process.pid)
        for kind, bomb in bombs().items():
            status, answer, _ = alone.classify(bomb, "image/*")
            assert (status, answer["type"]) == (413, "urn:scenery:problem:too-many-pixels"), kind
        assert resident_mib(alone.process.pid) < before + 8


def resident_mib(master: int) -> float:
    """Return the resident set of a proxy's worker."""
    with open(f"/proc/{master}/task/{master}/children") as children:
        (worker,) = children.read().split()
    with open(f"/proc/{worker}/status") as status:
        return int(status.read().split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((b"GET /" + b"a" * 9000 + b" HTTP/1.1",), 414),
        ((b"GET / HTTP/1.1", b"X-Long: " + b"a" * 9000), 431),
        ((b"GET / HTTP/1.1", b"no header"), 400),
    ],
    ids=["long address", "long header", "broken header"],
)
def test_what_breaks_http_gets_the_same_shape(proxied, lines, status):
    """Even an error that the web server finds before the application is a problem document."""
    connection = http.client.HTTPConnection(proxied.url.removeprefix("http://"), timeout=30)
    connection.connect()
    connection.sock.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
    response = http.client.HTTPResponse(connection.sock)
    response.begin()
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert f'"status": {status}' in response.read().decode()
    connection.close()


def test_every_answer_has_safe_headers(proxied, photo):
    """An answer, an error and an unknown path alike; the worker's own errors have no page to protect."""
    answers = [proxied.classify(photo), proxied.classify(b""), fetch("GET", f"{proxied.url}/none")]
    for _, _, headers in answers:
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
