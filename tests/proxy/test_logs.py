"""The log, as whoever collects it reads it: lines of a real process's stderr."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, http, multipart, proxy, wait_until

Lines = list[dict[str, Any]]


def parsed(text: str) -> Lines:
    """Parse what was logged; fails unless every line is one JSON object."""
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    assert all(isinstance(line, dict) and {"time", "level", "event", "logger"} <= set(line) for line in lines)
    return lines


def logged_by(program: str, *arguments: str) -> Lines:
    """Run a program that configures its log, and return its lines."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return parsed(done.stderr)


def requests(lines: Lines) -> Lines:
    return [line for line in lines if line["event"] == "request"]


EVERYBODY = """
import logging, sys, threading, warnings
from proxy.logs import configure_logging
configure_logging(sys.argv[1])
for name in ("proxy.traffic", "scenery.files", "grpc._channel"):
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger(name), level)("one\\n%s", level)
warnings.warn("careful")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("proxy.app").exception("broken")
thread = threading.Thread(target=lambda: {}["gone"], name="shadow")
thread.start(); thread.join()
"""


def test_everybody_speaks_json():
    """Own modules, libraries, warnings, tracebacks and dying threads: one object a line, in UTC, with a logger."""
    lines = logged_by(EVERYBODY, "info")
    spoken = [(line["logger"], line["level"]) for line in lines]
    assert spoken == [
        *[(name, level) for name in ("proxy.traffic", "scenery.files") for level in ("info", "warning", "error")],
        ("grpc._channel", "warning"),
        ("grpc._channel", "error"),
        ("py.warnings", "warning"),
        ("proxy.app", "error"),
        ("proxy.logs", "critical"),
    ]
    assert lines[0]["event"] == "one\ninfo"
    assert "careful" in lines[-3]["event"]
    assert lines[-2]["exception"].endswith("ZeroDivisionError: division by zero")
    assert "KeyError: 'gone'" in lines[-1]["exception"]
    assert "shadow" in lines[-1]["event"]
    ages = [datetime.now(timezone.utc) - datetime.fromisoformat(line["time"].replace("Z", "+00:00")) for line in lines]
    assert all(timedelta(0) <= age < timedelta(minutes=1) for age in ages)


@pytest.mark.parametrize(("level", "count"), [("debug", 4 + 4 + 2), ("warning", 2 + 2 + 2), ("error", 1 + 1 + 1)])
def test_the_level_is_that_of_own_modules(level, count):
    """Libraries are heard from warnings on, even while the proxy itself is debugged."""
    lines = [line for line in logged_by(EVERYBODY, level) if line["event"].startswith("one")]
    assert len(lines) == count


SMALL = """
import sys
from functools import partial
from flask import Flask, abort, send_file
from proxy.error_handlers import register_error_handlers
from proxy.logs import configure_logging, note, note_photo, register_request_log
from proxy.request_id import register_request_id
configure_logging(sys.argv[1])
app = Flask("small")
register_request_log(app, log_photos=sys.argv[2] == "photos")
register_request_id(app)
register_error_handlers(app)
@app.before_request
def refuse():
    from flask import request
    if "refuse" in request.args:
        abort(403)
@app.post("/v1/<name>")
def classify(name):
    note(photos=2, versions=[3, 1, 3])
    note(key_holder="shop")
    note_photo("secret-name.jpg", ["city"], {"city": 0.987})
    return "answer"
@app.get("/defect")
def defect():
    raise RuntimeError("broken")
@app.get("/healthz")
def healthz():
    return "ok"
@app.get("/file")
def file():
    return send_file(sys.executable)
client = app.test_client()
client.open = partial(client.open, buffered=True)  # reads the answer to its end, as a real server does
"""


def logged_by_small(level: str, photos: str, *calls: str) -> Lines:
    return logged_by(SMALL + "\n".join(calls), level, photos)


def test_a_request_is_one_line():
    """What was asked, what came of it, how long it took, and what the view knows of it; nothing of the photo."""
    post = (
        'client.post("/v1/classify?key=hidden", data=b"12345", headers={"X-Request-ID": "mine", '
        '"Authorization": "Bearer hidden", "X-API-Key": "hidden", "Content-Type": "image/jpeg"})'
    )
    (line,) = logged_by_small("info", "", post)
    assert 0 < line.pop("duration_ms") < 10_000
    del line["time"]
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "proxy.logs",
        "request_id": "mine",
        "method": "POST",
        "route": "/v1/<name>",
        "path": "/v1/classify",
        "status": 200,
        "bytes_in": 5,
        "photos": 2,
        "versions": [1, 3],
        "key_holder": "shop",
    }


def test_photos_are_logged_on_demand_only():
    """File names, labels and scores are written when that was asked for."""
    (line,) = logged_by_small("info", "photos", 'client.post("/v1/classify", data=b"12345")')
    assert line["photo_answers"] == [{"file": "secret-name.jpg", "labels": ["city"], "scores": {"city": 0.987}}]


def test_every_end_of_a_request_is_one_line():
    """Unknown paths, refusals of other hooks and defects have their line, with the problem's name."""
    paths = ("/nowhere", "/defect", "/v1/x", "/nowhere?refuse")
    lines = logged_by_small("info", "", *(f'client.get("{path}")' for path in paths))
    told = [(line.get("route"), line["status"], line["problem"]) for line in requests(lines)]
    assert told == [
        (None, 404, "not-found"),
        ("/defect", 500, "internal-server-error"),
        (None, 405, "method-not-allowed"),
        (None, 403, "forbidden"),
    ]
    (defect,) = [line for line in lines if line["level"] == "error"]
    assert defect["exception"].endswith("RuntimeError: broken")
    assert defect["request_id"] == requests(lines)[1]["request_id"]


def test_a_file_is_a_request_too():
    """What is sent as a file, without passing through the application, has its line."""
    (line,) = logged_by_small("info", "", 'client.get("/file")')
    assert (line["route"], line["status"]) == ("/file", 200)


def test_a_log_that_nobody_reads_fails_no_request():
    """Where lines cannot be written, requests are answered all the same."""
    program = SMALL + "import os; os.close(2); print(client.post('/v1/x', data=b'1').status_code)"
    command = [sys.executable, "-c", program, "info", ""]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "200\n"


def test_probes_are_for_debugging():
    """A probe every second does not fill the log."""
    assert logged_by_small("info", "", 'client.get("/healthz")') == []
    (line,) = requests(logged_by_small("debug", "", 'client.get("/healthz")'))
    assert (line["route"], line["level"]) == ("/healthz", "debug")


def test_a_caller_cannot_write_lines_of_its_own():
    """Line ends and control characters of a path are escaped, and a long one is cut."""
    forged = '{"event": "request", "status": 200}'
    calls = f'client.get("/%0a%0d%1b[2J%c2%85%e2%80%a8" + {forged!r} + "x" * 5000)'
    (line,) = logged_by_small("info", "", calls)
    assert line["path"].startswith("/\n\r\x1b[2J\x85\u2028" + forged)
    assert len(line["path"]) == 256


def test_threads_do_not_mix_their_lines():
    """One line is one write, whichever of the two ways it takes."""
    many = """
import logging, threading
def talk(number):
    for _ in range(100):
        client.get("/" + str(number) * 200)
        logging.getLogger("proxy.x").info(str(number) * 3000)
threads = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    lines = logged_by_small("info", "", many)
    assert len(lines) == 8 * 100 * 2
    assert len(requests(lines)) == 8 * 100


def lines_of(log: Path) -> Lines:
    return parsed(log.read_text())


def test_the_proxy_logs_json_from_its_start_to_its_end(tmp_path, served, photo, monkeypatch):
    """In the real server with two workers every line is an object, gunicorn's too; requests have theirs."""
    monkeypatch.setenv("SCENERY_WORKERS", "2")
    with proxy(tmp_path, served.grpc) as logged:
        assert logged.classify(*multipart(("beach.jpg", photo), ("bad.jpg", b"no photo")))[0] == 200
        headers = {"X-Request-ID": "mine", "Authorization": "Bearer hidden"}
        assert http("POST", f"{logged.url}/v1/classify?key=hidden", b"", "image/jpeg", headers)[0] == 400
        wait_until(lambda: logged.log.read_text().count('"event": "request"') == 2, "the lines of both")
        workers = [line["event"] for line in lines_of(logged.log) if "Booting worker" in line["event"]]
        os.kill(int(workers[0].split()[-1]), signal.SIGKILL)
        wait_until(lambda: "SIGKILL" in logged.log.read_text(), "the death to be logged")
    lines = lines_of(logged.log)
    assert lines[-1]["event"].startswith("Shutting down")
    answered, refused = sorted(requests(lines), key=lambda line: line["status"])
    assert (answered["status"], answered["photos"], answered["versions"]) == (200, 2, [1])
    assert (refused["status"], refused["problem"], refused["request_id"]) == (400, "bad-parameter", "mine")
    text = logged.log.read_text()
    assert not any(secret in text for secret in ("hidden", "beach", "bad.jpg"))


def test_the_proxy_logs_photos_when_told_to(tmp_path, served, photo, monkeypatch):
    """With SCENERY_LOG_PHOTOS the line has what was answered."""
    monkeypatch.setenv("SCENERY_LOG_PHOTOS", "true")
    with proxy(tmp_path, served.grpc) as logged:
        answer = logged.classify(*multipart(("beach.jpg", photo)))[1]["photos"][0]
    (line,) = requests(lines_of(logged.log))
    assert line["photo_answers"] == [{name: answer[name] for name in ("file", "labels", "scores")}]
