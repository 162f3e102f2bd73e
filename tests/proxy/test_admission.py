"""What is in flight and what waits, counted over threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from proxy.admission import Admission, SharedCounts
from proxy.deadline import Deadline
from proxy.problems import ProblemError
from tests.processes import wait_until

SOON_SECONDS = 20.0
PATIENCE = "proxy.admission.PATIENCE_SECONDS"


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Nobody who waits is refused for it, however slow the machine."""
    monkeypatch.setattr(PATIENCE, 3 * SOON_SECONDS)


def later(seconds: float = 10 * SOON_SECONDS) -> Deadline:
    return Deadline.after(seconds)


@contextmanager
def holding(admission: Admission, count: int) -> Iterator[ExitStack]:
    """Be so many requests in flight; closing the stack lets them go."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(admission.admitted(later()))
        yield stack


@contextmanager
def waiting(admission: Admission, counts: SharedCounts, count: int) -> Iterator[list[int]]:
    """Be so many requests in line, one behind the other; yields the numbers of those that had their turn."""
    before, admitted = sum(counts.waiting), []

    def wait(number: int) -> None:
        with admission.admitted(later()):
            admitted.append(number)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(count)]
    for ahead, thread in enumerate(threads, 1):
        thread.start()
        wait_until(lambda ahead=ahead: sum(counts.waiting) == before + ahead, "one that waits", SOON_SECONDS)
    yield admitted
    for thread in threads:
        thread.join(SOON_SECONDS)


def refuses(admission: Admission) -> bool:
    try:
        admission.check()
    except ProblemError as error:
        return error.name == "overloaded"
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


def test_half_as_many_wait_and_nobody_overtakes(monkeypatch):
    """In a burst, who finds no place gets the next that is left, in turn; who comes when they wait is refused."""
    monkeypatch.setattr("proxy.admission.LOOK_SECONDS", 3 * SOON_SECONDS)
    counts = SharedCounts(1)
    admission = Admission(6, 32, counts)
    with holding(admission, 5), holding(admission, 1) as leaving, waiting(admission, counts, 3) as admitted:
        assert refuses(admission)
        assert not admitted
        leaving.close()
    assert admitted == [0, 1, 2]
    assert (sum(counts.in_flight), sum(counts.waiting)) == (0, 0)


def test_who_has_waited_is_one_of_those_in_flight():
    """Their place counts as any other."""
    counts = SharedCounts(1)
    admission, leave = Admission(2, 32, counts), threading.Event()

    def wait() -> None:
        with admission.admitted(later()):
            leave.wait(SOON_SECONDS)

    with holding(admission, 1), holding(admission, 1) as leaving:
        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: sum(counts.waiting) == 1, "one that waits", SOON_SECONDS)
        leaving.close()
        wait_until(lambda: not sum(counts.waiting), "its turn", SOON_SECONDS)
        assert sum(counts.in_flight) == 2
        leave.set()
        thread.join(SOON_SECONDS)
    assert sum(counts.in_flight) == 0


@pytest.mark.parametrize(
    ("patience_seconds", "deadline_seconds", "name"),
    [(0.05, 10 * SOON_SECONDS, "overloaded"), (10 * SOON_SECONDS, 0.05, "deadline-exceeded")],
    ids=["patience", "deadline"],
)
def test_nobody_waits_for_long(monkeypatch, patience_seconds, deadline_seconds, name):
    """Where no place is left in time, who waited is told why, and others may wait."""
    monkeypatch.setattr(PATIENCE, patience_seconds)
    admission = Admission(2, 32)
    with holding(admission, 2):
        begun = time.monotonic()
        with pytest.raises(ProblemError) as caught:
            admission.admitted(later(deadline_seconds)).__enter__()
        assert caught.value.name == name
        assert 0.05 <= time.monotonic() - begun < SOON_SECONDS
        admission.check()


def test_a_place_that_another_worker_leaves_is_found():
    """Who waits looks for it."""
    counts = SharedCounts(2)
    here, there = (Admission(4, 32, counts, counts.take()) for _ in range(2))
    with holding(there, 4) as held, waiting(here, counts, 2) as admitted:
        assert refuses(there)
        held.close()
        wait_until(lambda: len(admitted) == 2, "the turn of both", SOON_SECONDS)


def test_who_comes_when_places_are_free_does_not_wait(monkeypatch):
    """Nor do those who waited for one, and had not looked."""
    monkeypatch.setattr("proxy.admission.LOOK_SECONDS", 3 * SOON_SECONDS)
    counts = SharedCounts(2)
    here, there = (Admission(4, 32, counts, counts.take()) for _ in range(2))
    with holding(there, 4) as held, waiting(here, counts, 2) as admitted:
        held.close()
        begun = time.monotonic()
        with here.admitted(later()):
            assert time.monotonic() - begun < SOON_SECONDS
        wait_until(lambda: len(admitted) == 2, "the turn of both", SOON_SECONDS)


def test_a_worker_has_a_thread_that_does_not_wait():
    """However high the limit, its threads are never all with model servers, or in line."""
    counts = SharedCounts(2)
    there, here = Admission(8, 32, counts, counts.take()), Admission(8, 3, counts, counts.take())
    with holding(here, 2):
        assert refuses(here)
    with holding(there, 8) as held, waiting(here, counts, 2):
        assert refuses(here)
        assert not refuses(there)
        held.close()


_WORKERS = """
import os
import threading
from proxy.admission import Admission, SharedCounts
from proxy.deadline import Deadline
from proxy.problems import ProblemError

shared = SharedCounts(2)
first, second = shared.take(), shared.take()
child = os.fork()
if not child:
    admission = Admission(2, 32, shared, second)
    def enter():
        with admission.admitted(Deadline.after(60)):
            threading.Event().wait()
    for _ in range(3):
        threading.Thread(target=enter, daemon=True).start()
    while (shared.in_flight[second], shared.waiting[second]) != (2, 1):
        pass
    os._exit(0)  # as if killed
os.waitpid(child, 0)
here = Admission(2, 32, shared, first)
try:
    here.check()
except ProblemError:
    print("refused")
shared.give_back(second)
here.check()
assert not any(shared.in_flight) and not any(shared.waiting)
assert shared.take() == second
"""


def test_workers_share_the_limit_and_a_killed_one_leaves_nothing():
    """What another process has in flight and in line counts here; when it is gone with it, its place is free again."""
    done = subprocess.run([sys.executable, "-c", _WORKERS], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "refused\n"


def test_four_for_each_core_unless_told(monkeypatch):
    """The limit that TensorFlow Serving has itself."""
    monkeypatch.setattr(PATIENCE, 0.01)
    admission = Admission(None, 1000)
    with holding(admission, 4 * (os.cpu_count() or 1)), pytest.raises(ProblemError):
        admission.admitted(later()).__enter__()
