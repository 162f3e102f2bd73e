"""The name of a request, through a small application."""

from __future__ import annotations

import re
import threading
from contextvars import copy_context

import pytest
from flask import Flask, abort

from proxy.request_id import HEADER, current_request_id, register_request_id
from tests.processes import http, proxy


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    register_request_id(app)

    @app.get("/told")
    def told() -> str | None:
        return current_request_id()

    @app.get("/refused")
    def refused() -> str:
        abort(418)

    @app.get("/thread")
    def thread() -> list[str | None]:
        told: list[str | None] = []
        for run in (copy_context().run, lambda work: work()):
            worker = threading.Thread(target=run, args=(lambda: told.append(current_request_id()),))
            worker.start()
            worker.join()
        return told

    return app


def answered_with(app: Flask, path: str, given: str | None = None) -> tuple[str, str]:
    """Return the id of the answer's header, and the answer's text."""
    with app.test_client().get(path, headers={HEADER: given} if given is not None else {}) as response:
        (told,) = response.headers.getlist(HEADER)
        return told, response.text


@pytest.mark.parametrize("given", ["a", "7089801c-5308.420c_B4", "x" * 128])
def test_the_callers_name_is_kept(app, given):
    """What a caller calls its request is what the request is called, in the answer and within."""
    assert answered_with(app, "/told", given) == (given, given)


@pytest.mark.parametrize("given", [None, "", "x" * 129, "a b", "a;b", "ä", "a/b", '"}'])
def test_another_name_is_replaced(app, given):
    """A name that could do harm in a header, a log or a call never gets there; each request gets one of its own."""
    told = [answered_with(app, "/told", given) for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{32}", header) and header == text for header, text in told)
    assert told[0] != told[1]


@pytest.mark.parametrize("path", ["/refused", "/nowhere"])
def test_errors_carry_it(app, path):
    """Whoever is refused can say which request it was."""
    assert answered_with(app, path, "mine")[0] == "mine"


def test_threads_know_it_by_the_context(app):
    """A thread in a copy of the request's context has its name, one of its own has none."""
    with app.test_client().get("/thread", headers={HEADER: "mine"}) as response:
        assert response.json == ["mine", None]


def test_outside_of_a_request_there_is_none():
    """Nothing is made up where nobody asked."""
    assert current_request_id() is None


def test_every_answer_of_the_proxy_has_one(tmp_path, served):
    """In the real server, probes and unknown paths too."""
    with proxy(tmp_path, served.grpc) as running:
        for path in ("/healthz", "/readyz", "/nowhere"):
            assert http("GET", running.url + path, more_headers={HEADER: "mine"})[2][HEADER] == "mine"
