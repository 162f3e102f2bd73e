"""Programs that are measured, and what is told when one of them fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from flask import Flask, request

from benchmarks.contenders import Service
from benchmarks.load import as_form
from benchmarks.processes import family, free_ports
from benchmarks.program import python, running_program
from scenery.errors import StackError
from tests.processes import PHOTOS, wait_until

PHOTO = PHOTOS / "0546.jpg"


def test_a_program_that_ends_says_why(tmp_path):
    """Waiting for a program that has ended by itself gives its last words at once."""
    with (
        running_program("peer", ["sh", "-c", "echo no such weights; exit 3"], tmp_path) as program,
        pytest.raises(StackError, match=r"peer ended by itself with status 3(.|\n)*no such weights"),
    ):
        program.await_answer("http://127.0.0.1:9/")


def test_a_contender_that_fails_is_named(tmp_path):
    """A contender that refuses photos is told by its name, with its answer and its last words."""
    (port,) = free_ports(1)
    with running_program("files", python("http.server", port, "--bind", "127.0.0.1"), tmp_path) as program:
        program.await_answer(f"http://127.0.0.1:{port}/")
        service = Service("peer", (program,), f"127.0.0.1:{port}")
        with pytest.raises(
            StackError, match=r"'peer' failed for \d+ photos: (.|\n)*Unsupported method(.|\n)*The files runs"
        ):
            service.load(PHOTO, 1, 0.1)


def test_what_a_program_starts_is_counted_and_ends_with_it(tmp_path):
    """CPU and memory of a contender are those of its processes' children, too, and none of them is left running."""
    busy = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    with running_program("parent", [sys.executable, "-c", busy], tmp_path) as program:
        wait_until(lambda: program.cpu_seconds() > 0.5, "the child to compute")
        assert program.memory_mb() > 5
        (child,) = family(program._child.pid)[1:]
    wait_until(lambda: not Path(f"/proc/{child}/cwd").exists(), "the child to end")


def test_the_form_that_is_sent_has_one_file():
    """The load generator's form is read as the file of a form by a framework."""
    app = Flask(__name__)
    body, content_type = as_form(PHOTO.read_bytes())
    with app.test_request_context("/", method="POST", data=body, content_type=content_type):
        assert request.files["file"].read() == PHOTO.read_bytes()
