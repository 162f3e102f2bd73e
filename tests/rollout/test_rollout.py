"""A rollout on real processes: the commands, under load, and what may go wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.processes import ROOT, free_ports, http, running, wait_until

PHOTO = (ROOT / "examples/sample.jpg").read_bytes()


@dataclass
class Stack:
    """``scenery serve`` with the shipped model, and the commands on it."""

    url: str
    work: Path
    grpc: str
    models: Path
    answers: Counter = field(default_factory=Counter)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        places = ["--config", str(self.work / "serving.config"), "--models-dir", str(self.models)]
        places += ["--model-server", self.grpc, "--wait-seconds", "30"]
        command = [sys.executable, "-m", "scenery", *arguments, *places]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)

    def run(self, *arguments: str) -> str:
        done = self.command(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fail(self, *arguments: str) -> str:
        done = self.command(*arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    def status(self) -> dict[int, dict]:
        return {each["version"]: each for each in json.loads(self.run("status", "--json"))}

    def drop(self, version: int) -> None:
        staged = shutil.copytree(ROOT / "models/scenery/1", self.models / "scenery" / f".incoming-{version}")
        staged.rename(self.models / "scenery" / str(version))

    def classify(self, key: str | None = None) -> int:
        """Return the version that answers; fails if none does."""
        headers = {"X-Request-Key": key} if key else {}
        status, answer, _ = http("POST", f"{self.url}/v1/classify", PHOTO, "image/jpeg", headers)
        assert status == 200, answer
        return answer["photos"][0]["version"]


@pytest.fixture
def stack(tmp_path):
    proxy_port, grpc_port, rest_port = free_ports(3)
    shutil.copy(ROOT / "serving.config", tmp_path)
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models/scenery/1", models / "scenery" / "1")
    flags = ["--port", str(proxy_port), "--grpc-port", str(grpc_port), "--rest-port", str(rest_port)]
    flags += ["--config", str(tmp_path / "serving.config"), "--models-dir", str(models)]
    log = tmp_path / "stack.log"
    with running("scenery", "serve", *flags, "--run-dir", str(tmp_path / "run"), log=log) as process:
        wait_until(lambda: "is ready" in log.read_text() or process.poll() is not None, "the stack to be ready")
        assert process.poll() is None, log.read_text()
        yield Stack(f"http://127.0.0.1:{proxy_port}", tmp_path, f"127.0.0.1:{grpc_port}", models)


def test_a_rollout_loses_no_request(stack):
    """Drop, canary, promote, rollback and prune under steady load: every request is answered, by the right version."""
    stop, failures, answers = threading.Event(), [], Counter()

    def load() -> None:
        while not stop.is_set():
            try:
                answers[stack.classify()] += 1
            except AssertionError as error:
                failures.append(error)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for each in threads:
        each.start()
    try:
        stack.run("promote", "1")
        stack.drop(2)
        assert "canary is version 2" in stack.run("canary", "2", "--percent", "30")
        status = stack.status()
        assert (status[1]["labels"], status[1]["percent"]) == (["stable"], 70)
        assert (status[2]["labels"], status[2]["percent"]) == (["canary"], 30)
        answers.clear()
        wait_until(lambda: sum(answers.values()) > 100, "requests")
        assert answers[1] > answers[2] > 0
        assert "version 2 is stable" in stack.run("promote")
        answers.clear()
        wait_until(lambda: sum(answers.values()) > 50, "requests")
        assert set(answers) == {2}
        assert stack.status()[1]["last_good"]
        started = time.monotonic()
        assert "version 1 is stable" in stack.run("rollback")
        assert time.monotonic() - started < 15
        answers.clear()
        wait_until(lambda: sum(answers.values()) > 50, "requests")
        assert set(answers) == {1}
        stack.drop(3)
        assert "removed: none" in stack.run("prune", "--keep", "1")
    finally:
        stop.set()
        for each in threads:
            each.join()
    assert not failures


def test_a_caller_with_a_key_sees_one_version(stack):
    """The split is sticky, its share is what was asked, and a growing share takes no key away."""
    stack.run("promote", "1")
    stack.drop(2)
    keys = [f"user-{number}" for number in range(200)]
    stack.run("canary", "2", "--percent", "25")
    first = {key: stack.classify(key) for key in keys}
    assert {key: stack.classify(key) for key in keys} == first
    share = sum(version == 2 for version in first.values()) / len(keys)
    assert 0.15 < share < 0.35
    stack.run("canary", "2", "--percent", "60")
    second = {key: stack.classify(key) for key in keys}
    assert all(second[key] == 2 for key in keys if first[key] == 2)
    assert "version 1 is stable" in stack.run("rollback")
    assert {stack.classify(key) for key in keys[:20]} == {1}
    assert 2 not in stack.status() or stack.status()[2]["labels"] == []


def test_what_goes_wrong_is_told_and_changes_nothing(stack):
    """A version that is missing or cannot be loaded, nothing to go back to: the message says what to do."""
    config = stack.work / "serving.config"
    before = config.read_text()
    assert "There is no version 7" in stack.fail("canary", "7")
    assert "no canary to promote" in stack.fail("promote")
    assert "nothing to go back to" in stack.fail("rollback")
    assert config.read_text() == before
    stack.run("promote", "1")
    before = config.read_text()
    (stack.models / "scenery" / "2").mkdir()
    message = stack.fail("canary", "2")
    assert "Version 2 cannot be loaded" in message or "does not follow" in message
    assert config.read_text() == before
    assert stack.classify() == 1
    assert stack.status()[1]["labels"] == ["stable"]
    (stack.models / "scenery" / "2").rmdir()
    stack.drop(2)
    assert "canary is version 2" in stack.run("canary", "2")


def test_a_server_that_is_down_is_named():
    """Every command says which address does not answer."""
    (port,) = free_ports(1)
    for arguments in (["status"], ["canary", "1"], ["promote", "1"], ["prune"]):
        places = ["--model-server", f"127.0.0.1:{port}"]
        command = [sys.executable, "-m", "scenery", *arguments, *places]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 1
        assert re.search(rf"127.0.0.1:{port} does not answer.*Start it", done.stderr)
