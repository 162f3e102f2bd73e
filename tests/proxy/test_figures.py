"""The proxy's figures, of real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from flask import Flask, abort, request

from proxy.error_handlers import register_error_handlers
from proxy.figures import SCORES, SECONDS, Figures, blueprint, register_figures
from proxy.labels import Labelling
from proxy.model_server import Scored
from proxy.problems import problem
from tests.processes import Proxy, http, multipart, proxy, wait_until
from tests.proxy.scraped import Series, page, photos, series

LABELS = ["beach", "city", "sunset", "trees"]


def test_photos_are_counted_by_outcome_and_version(tmp_path, served, photo):
    """Each photo counts once, a problem by its name; only answered ones have a time and scores; probes do not count."""
    with proxy(tmp_path, served.grpc) as counted:
        assert http("GET", f"{counted.url}/readyz")[0] == 200
        assert photos(page(counted.url)) == {}
        scores = counted.classify(photo)[1]["photos"][0]["scores"]
        assert counted.classify(photo[: len(photo) // 2])[0] == 422
        body, content_type = multipart(*[("a.jpg", photo)] * 6, ("bad.jpg", b"no photo"))
        assert counted.classify(body, content_type)[0] == 200
        body, content_type = multipart(("photo.jpg", photo))
        assert http("POST", f"{counted.url}/scorefile/", body, content_type)[0] == 200
        text = page(counted.url)
    assert photos(text) == {
        ("latest", "1", "ok"): 8,
        ("latest", "", "damaged"): 1,
    }
    assert reasons(text, "refused") == {("damaged",): 1, ("unsupported-format",): 1}
    of_version = ("version_label", "version")
    assert series(text, "scenery_photo_seconds_count", *of_version) == {("latest", "1"): 8}
    assert 0 < series(text, "scenery_photo_seconds_sum", *of_version)["latest", "1"] < 60
    of_label = (*of_version, "label")
    assert series(text, "scenery_photo_score_count", *of_label) == {("latest", "1", label): 8 for label in LABELS}
    sums = series(text, "scenery_photo_score_sum", *of_label)
    assert sums == {("latest", "1", label): pytest.approx(8 * scores[label], abs=1e-4) for label in LABELS}


def test_a_label_that_is_gone_counts_beside_the_latest_version(tmp_path, served, photo, monkeypatch):
    """The attempt that failed counts under the label asked for, the one that answered under the latest."""
    (tmp_path / "traffic.json").write_text(json.dumps({"canary_percent": 0}))
    monkeypatch.setenv("SCENERY_TRAFFIC_FILE", str(tmp_path / "traffic.json"))
    with proxy(tmp_path, served.grpc) as counted:
        assert counted.classify(photo)[0] == 200
        assert photos(page(counted.url)) == {("stable", "", "model-not-served"): 1, ("latest", "1", "ok"): 1}


def test_labels_that_callers_make_up_are_one(tmp_path, served, photo):
    """Whatever labels callers ask for, there is one series for those that nobody knows."""
    with proxy(tmp_path, served.grpc) as counted:
        for number in range(3):
            url = f"{counted.url}/v1/classify?label=made-up-{number}"
            assert http("POST", url, photo, "image/jpeg")[0] == 404
        assert photos(page(counted.url)) == {("unknown", "", "version-unknown"): 3}


def test_workers_add_up(tmp_path, served, photo, monkeypatch):
    """Whichever worker is asked tells the sum, also when one has died; nothing is left behind."""
    monkeypatch.setenv("SCENERY_WORKERS", "2")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    sent = 0

    def both_have_counted() -> bool:
        nonlocal sent
        assert shared.classify(photo)[0] == 200
        sent += 1
        return len(workers()) == 2

    def workers() -> list[int]:
        files = tmp_path.glob("scenery-figures-*/counter_*.db")
        return [int(re.sub(r"\D", "", file.name)) for file in files]

    with proxy(tmp_path, served.grpc) as shared:
        wait_until(both_have_counted, "both workers to answer a photo")
        expected = {("latest", "1", "ok"): sent}
        assert [photos(page(shared.url)) for _ in range(20)] == [expected] * 20
        counts = series(page(shared.url), "scenery_photo_seconds_count", "version_label", "version")
        assert counts == {("latest", "1"): sent}
        os.kill(workers()[0], signal.SIGKILL)
        wait_until(lambda: "SIGKILL" in shared.log.read_text(), "the death to be noticed")
        assert photos(page(shared.url)) == expected
    assert not list(tmp_path.glob("scenery-figures-*"))


def test_bounds_are_close():
    """A percentile of seconds is known to a quarter, from 1 ms to 30 s; scores to a twentieth."""
    assert (SECONDS[0], SECONDS[-1]) == (0.001, 30)
    assert all(1.24 < above / below < 1.26 for below, above in pairwise(SECONDS))
    assert list(SCORES) == pytest.approx([0.05 * number for number in range(1, 21)])


def test_applications_of_one_process_count_apart():
    """Each application has figures of its own."""
    one, other = Figures(), Figures()
    scored = Scored(3, (0.9,), seconds=0.02)
    one.answered("canary", scored, Labelling({"beach": 0.9}, ["beach"], 0, "beach", {"beach": 0.5}))
    other.failed("stable", 3, "model-server-failed")
    assert photos(one.page().decode()) == {("canary", "3", "ok"): 1}
    assert photos(other.page().decode()) == {("stable", "3", "model-server-failed"): 1}


def requests(text: str) -> Series:
    return series(text, "scenery_requests_total", "route", "status")


def in_flight(text: str) -> float:
    return series(text, "scenery_requests_in_flight")[()]


def reasons(text: str, name: str) -> Series:
    return series(text, f"scenery_{name}_total", "reason")


@pytest.fixture
def counted() -> Flask:
    """A small application of every way in which a request can end."""
    app = Flask(__name__)
    register_error_handlers(app)

    @app.before_request
    def before() -> None:  # registered first, and comes after the count all the same
        if "refuse" in request.args:
            raise problem("rate-limited", "Come again.")

    register_figures(app, Figures())
    app.register_blueprint(blueprint)

    @app.get("/photo/<name>")
    def photo(name: str) -> str:
        if name == "bad":
            raise problem("damaged", "Send another.")
        if name == "down":
            raise problem("model-server-unavailable", "Start it.")
        return name

    @app.get("/defect")
    def defect() -> str:
        raise RuntimeError("broken")

    @app.get("/aborted")
    def aborted() -> str:
        abort(503)

    return app


def told_after(app: Flask, *paths: str) -> str:
    for path in paths:
        with app.test_client().get(path):
            pass
    with app.test_client().get("/metrics") as response:
        return response.text


def test_every_request_counts_once_by_route_and_status(counted):
    """However a request ends it counts once, under the rule it fits; what callers make up shares one series."""
    paths = ("/photo/a", "/photo/b", "/photo/bad", "/defect", "/aborted", "/nowhere", "/no/where", "/photo/a?refuse")
    text = told_after(counted, *paths)
    assert requests(text) == {
        ("/photo/<name>", "200"): 2,
        ("/photo/<name>", "422"): 1,
        ("/photo/<name>", "429"): 1,
        ("/defect", "500"): 1,
        ("/aborted", "503"): 1,
        ("unknown", "404"): 2,
    }
    counts = series(text, "scenery_request_seconds_count", "route")
    assert counts == {("/photo/<name>",): 4, ("/defect",): 1, ("/aborted",): 1, ("unknown",): 2}
    assert all(0 < seconds < 10 for seconds in series(text, "scenery_request_seconds_sum", "route").values())
    assert in_flight(text) == 0
    assert requests(told_after(counted))["/metrics", "200"] == 1


def test_an_error_that_nobody_handles_counts_too(counted):
    """Where exceptions are let through, the request is a 500 and no longer in flight."""
    counted.testing = True
    counted.error_handler_spec[None][None].clear()
    with pytest.raises(RuntimeError, match="broken"):
        counted.test_client().get("/defect")
    text = told_after(counted)
    assert requests(text) == {("/defect", "500"): 1}
    assert in_flight(text) == 0


def test_refusals_and_sheds_count_by_reason(counted):
    """What was refused for what it is, and what for its number, each by the problem told; failures are neither."""
    text = told_after(counted, "/photo/bad", "/photo/bad", "/photo/down", "/defect", "/nowhere", "/photo/a?refuse")
    assert reasons(text, "refused") == {("damaged",): 2, ("not-found",): 1}
    assert reasons(text, "shed") == {("rate-limited",): 1}


def test_photos_of_one_request_are_told_apart():
    """Who answers photos one by one counts each that failed."""
    figures = Figures()
    for name, status in (("damaged", 422), ("overloaded", 503), ("model-server-failed", 502), ("damaged", 422)):
        figures.refused(name, status)
    text = figures.page().decode()
    assert reasons(text, "refused") == {("damaged",): 2}
    assert reasons(text, "shed") == {("overloaded",): 1}


def test_requests_are_in_flight_while_they_are_answered(counted):
    """Threads that answer at the same time add up, and come back to 0."""
    gate, entered = threading.Event(), threading.Semaphore(0)

    @counted.get("/slow")
    def slow() -> str:
        entered.release()
        assert gate.wait(30)
        return "done"

    threads = [threading.Thread(target=told_after, args=(counted, "/slow")) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert all(entered.acquire(timeout=30) for _ in threads)
    during = in_flight(told_after(counted))
    gate.set()
    for thread in threads:
        thread.join()
    assert (during, in_flight(told_after(counted))) == (5, 0)


@contextmanager
def unfinished(running: Proxy) -> Iterator[socket.socket]:
    """Hold a request open: its headers are sent, its photo is not."""
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n"
        )
        yield connection


def test_requests_of_the_proxy_add_up_across_workers(tmp_path, served, photo, monkeypatch):
    """In the real server each request and each photo refused counts once; a killed worker has none in flight."""
    monkeypatch.setenv("SCENERY_WORKERS", "2")
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def told(condition: Callable[[str], bool], what: str) -> str:
        wait_until(lambda: condition(page(shared.url)), what)
        return page(shared.url)

    def workers() -> set[int]:
        files = tmp_path.glob("scenery-figures-*/gauge_livesum_*.db")
        return {int(re.sub(r"\D", "", file.name)) for file in files}

    with proxy(tmp_path, served.grpc) as shared:
        body, content_type = multipart(("a.jpg", photo), ("bad.jpg", b"no photo"), ("c.jpg", photo[:1000]))
        for _ in range(10):
            assert shared.classify(photo)[0] == 200
            assert shared.classify(body, content_type)[0] == 200
            assert shared.classify(b"no photo")[0] == 415
            assert http("GET", f"{shared.url}/nowhere")[0] == 404
        wait_until(lambda: len(workers()) == 2, "both workers")
        expected = {("/v1/classify", "200"): 20, ("/v1/classify", "415"): 10, ("unknown", "404"): 10}
        for _ in range(10):
            text = page(shared.url)
            assert expected.items() <= requests(text).items()
            assert in_flight(text) == 0
        assert reasons(text, "refused") == {("unsupported-format",): 20, ("damaged",): 10, ("not-found",): 10}
        assert series(text, "scenery_request_seconds_count", "route")["/v1/classify",] == 30

        before = workers()
        with unfinished(shared), unfinished(shared), unfinished(shared):
            told(lambda text: in_flight(text) == 3, "three requests in flight")
            for worker in before:
                os.kill(worker, signal.SIGKILL)
            told(lambda text: in_flight(text) == 0, "the killed workers to be forgotten")
        assert not before & workers()
        assert shared.classify(photo)[0] == 200
        text = page(shared.url)
        assert requests(text)["/v1/classify", "200"] == 21
        assert in_flight(text) == 0
