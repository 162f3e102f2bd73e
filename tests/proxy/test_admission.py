"""What is in flight, counted over threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from proxy.admission import Admission
from proxy.problems import ProblemError


def test_as_many_as_the_limit_and_no_more():
    """The next one is refused until one has left, however it left."""
    admission = Admission(2, 32)
    with ExitStack() as stack:
        stack.enter_context(admission.admitted())
        with pytest.raises(ZeroDivisionError), admission.admitted():
            raise ZeroDivisionError
        stack.enter_context(admission.admitted())
        for refused in (admission.check, admission.admitted().__enter__):
            with pytest.raises(ProblemError, match="As many requests as can be"):
                refused()
    admission.check()


_WORKERS = """
import os
from proxy.admission import Admission, SharedCounts
from proxy.problems import ProblemError

shared = SharedCounts(2)
first, second = shared.take(), shared.take()
child = os.fork()
if not child:
    with Admission(1, 32, shared.counts, second).admitted():
        os._exit(0)  # as if killed
os.waitpid(child, 0)
here = Admission(1, 32, shared.counts, first)
try:
    here.check()
except ProblemError:
    print("refused")
shared.give_back(second)
here.check()
assert shared.take() == second
"""


def test_workers_share_the_limit_and_a_killed_one_leaves_nothing():
    """What another process has in flight counts here; when it is gone with it, its place is free again."""
    done = subprocess.run([sys.executable, "-c", _WORKERS], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def test_four_for_each_core_unless_told():
    """The limit that TensorFlow Serving has itself."""
    with ExitStack() as stack:
        admission = Admission(None, 1000)
        for _ in range(4 * (os.cpu_count() or 1)):
            stack.enter_context(admission.admitted())
        with pytest.raises(ProblemError):
            admission.check()


def test_a_thread_is_left_to_say_no():
    """However high the limit, a worker never has all of its threads wait for model servers."""
    admission = Admission(1000, 3)
    with admission.admitted(), admission.admitted(), pytest.raises(ProblemError):
        admission.check()
