"""What versions say of themselves, remembered: in front of a scripted model server over real gRPC."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from proxy.abouts import Abouts
from proxy.admission import Admission
from proxy.channel import open_channel
from proxy.deadline import Deadline
from proxy.model_server import ModelServer, Target
from proxy.problems import ProblemError
from proxy.scoring import Asked
from proxy.settings import Settings
from tests.processes import wait_until
from tests.proxy.test_model_server import DESCRIPTION, SCORES, Scripted

MAIN = Asked(Target(), False)


class Slow(Scripted):
    """Answers when it may; a text is a refusal in TensorFlow Serving's words."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = {"serving_default": SCORES, "describe": DESCRIPTION}
        self.asked: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def _answer(self, request, context) -> bytes:
        signature = request.model_spec.signature_name
        self.asked.append(signature)
        self.may_answer.wait(20)
        if isinstance(self.answers[signature], str):
            context.abort(grpc.StatusCode.NOT_FOUND, self.answers[signature])
        return super()._answer(request, context)


@pytest.fixture
def slow():
    """The model server, and the memory in front of it; one request at a time is admitted but for the tests' own."""
    handler, admission = Slow(), Admission(20, 20)
    server = grpc.server(ThreadPoolExecutor(2), (handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with open_channel(Settings(model_server=f"127.0.0.1:{port}")) as channel:
        yield handler, Abouts(ModelServer(channel, "scenery"), admission), admission
    handler.may_answer.set()
    server.stop(None)


def later(seconds: float = 20) -> Deadline:
    return Deadline.after(seconds)


def test_those_who_ask_together_are_one_call(slow):
    """While the model server thinks, everybody waits for the same answer, and it stands for some seconds."""
    handler, abouts, _ = slow
    handler.may_answer.clear()
    with ThreadPoolExecutor(8) as callers:
        told = [callers.submit(abouts.get, MAIN, later()) for _ in range(8)]
        wait_until(lambda: bool(handler.asked), "the first call", 20)
        handler.may_answer.set()
        assert {each.result(20).version for each in told} == {3}
    assert abouts.get(MAIN, later()).description.labels == ("a", "b")
    assert handler.asked == ["describe"]


def test_what_is_remembered_is_told_when_there_are_requests_enough(slow):
    """Only who must ask the model server needs a place among the photos."""
    _, abouts, _ = slow
    full = Admission(1, 20)
    abouts.get(MAIN, later())
    abouts._admission = full
    with full.admitted(later()):
        assert abouts.get(MAIN, later()).version == 3
        with pytest.raises(ProblemError) as caught:
            abouts.get(Asked(Target("canary"), True), later())
    assert caught.value.name == "overloaded"


def test_nobody_waits_for_others_beyond_the_deadline(slow):
    """Who cannot have a turn in time is told so, while the first one still waits."""
    handler, abouts, _ = slow
    handler.may_answer.clear()
    with ThreadPoolExecutor(1) as caller:
        first = caller.submit(abouts.get, MAIN, later())
        wait_until(lambda: bool(handler.asked), "the first call", 20)
        with pytest.raises(ProblemError) as caught:
            abouts.get(Asked(Target(version=7), True), later(0.01))
        assert caught.value.name == "deadline-exceeded"
        handler.may_answer.set()
        assert first.result(20).version == 3


def test_a_version_that_is_not_served_is_not_asked_for_each_time(slow, monkeypatch):
    """Its problem is the same for a moment, then it is found out anew."""
    handler, abouts, _ = slow
    handler.answers["describe"] = "Servable not found for request"
    for _ in range(3):
        with pytest.raises(ProblemError) as caught:
            abouts.get(Asked(Target(version=7), True), later())
        assert caught.value.name == "version-unknown"
    assert handler.asked == ["describe"]
    monkeypatch.setattr("proxy.abouts.FAILURE_REMEMBERED_SECONDS", 0)
    for version in (8, 8):
        with pytest.raises(ProblemError):
            abouts.get(Asked(Target(version=version), True), later())
    assert len(handler.asked) == 3


def test_one_callers_own_deadline_is_nobody_elses_failure(slow):
    """A call that was given no time fails for that caller only."""
    handler, abouts, _ = slow
    handler.may_answer.clear()
    with pytest.raises(ProblemError) as caught:
        abouts.get(MAIN, later(0.05))
    assert caught.value.name == "deadline-exceeded"
    handler.may_answer.set()
    assert abouts.get(MAIN, later()).version == 3


def test_a_version_that_says_nothing_is_not_scored_each_time(slow):
    """What was found out by a photo of one pixel is remembered as a version's own words are."""
    handler, abouts, _ = slow
    handler.answers["describe"] = 'Serving signature key "describe" not found.'
    for _ in range(3):
        assert abouts.get(MAIN, later()).description.source == "index"
    assert handler.asked.count("serving_default") == 1


def test_what_is_too_old_is_forgotten(slow, monkeypatch):
    """However many numbers somebody asks for, only those of the last moment are held."""
    _, abouts, _ = slow
    monkeypatch.setattr("proxy.abouts.REMEMBERED_SECONDS", 0)
    for version in range(20):
        abouts.get(Asked(Target(version=version), True), later())
    assert len(abouts._told) == 1
