"""What is in flight, counted over threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from proxy.admission import PATIENCE_SECONDS, Admission
from proxy.deadline import Deadline
from proxy.problems import ProblemError
from tests.processes import wait_until


def later(seconds: float = 10) -> Deadline:
    return Deadline.after(seconds)


def refuses(admission: Admission) -> bool:
    try:
        admission.check()
    except ProblemError:
        return True
    return False


def test_as_many_as_the_limit_and_no_more():
    """The next one is refused until one has left, however it left."""
    admission = Admission(1, 32)
    with pytest.raises(ZeroDivisionError), admission.admitted(later()):
        raise ZeroDivisionError
    with admission.admitted(later()):
        for refused in (admission.check, admission.admitted(later()).__enter__):
            with pytest.raises(ProblemError, match="As many requests as can be"):
                refused()
    admission.check()


def test_half_as_many_wait_for_a_moment():
    """In a burst, who finds no place gets the one that is left next; who comes when they wait is refused at once."""
    admission, admitted = Admission(2, 32), threading.Event()

    def wait() -> None:
        with admission.admitted(later()):
            admitted.set()

    with ExitStack() as leaving, admission.admitted(later()):
        leaving.enter_context(admission.admitted(later()))
        admission.check()
        waiting = threading.Thread(target=wait)
        waiting.start()
        wait_until(lambda: refuses(admission), "one that waits", 20)
        assert not admitted.is_set()
        leaving.close()
        waiting.join(20)
    assert admitted.is_set()
    admission.check()


@pytest.mark.parametrize("seconds", [10, 0.01], ids=["patience", "deadline"])
def test_nobody_waits_for_long(seconds):
    """Where no place is left in time, who waited is refused, and others may wait."""
    admission = Admission(2, 32)
    with admission.admitted(later()), admission.admitted(later()):
        begun = time.monotonic()
        with pytest.raises(ProblemError, match="As many requests as can be"):
            admission.admitted(later(seconds)).__enter__()
        assert time.monotonic() - begun >= min(seconds, PATIENCE_SECONDS)
        admission.check()


_WORKERS = """
import os
from proxy.admission import Admission, SharedCounts
from proxy.deadline import Deadline
from proxy.problems import ProblemError

shared = SharedCounts(2)
first, second = shared.take(), shared.take()
child = os.fork()
if not child:
    with Admission(1, 32, shared, second).admitted(Deadline.after(10)):
        os._exit(0)  # as if killed
os.waitpid(child, 0)
here = Admission(1, 32, shared, first)
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
            stack.enter_context(admission.admitted(later()))
        with pytest.raises(ProblemError):
            admission.admitted(later()).__enter__()


def test_a_thread_is_left_to_say_no():
    """However high the limit, a worker never has all of its threads wait for model servers."""
    admission = Admission(1000, 3)
    with admission.admitted(later()), admission.admitted(later()), pytest.raises(ProblemError):
        admission.check()
