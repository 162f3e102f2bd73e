"""The photos of one request, each on its own."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest

from proxy.problems import ProblemError, problem
from proxy.several import AT_A_TIME, each

REQUEST = ContextVar("REQUEST", default="none")


def test_each_item_has_its_outcome_in_the_order_of_the_items():
    """A problem is an outcome like another, whether it was there before or comes of the work."""

    def halve(number: int) -> int:
        if number % 2:
            raise problem("damaged", f"{number} is odd.")
        return number // 2

    before = problem("empty", "Nothing.")
    outcomes = each(halve, [2, 3, before, 8])
    assert [outcomes[0], outcomes[3]] == [1, 4]
    assert isinstance(outcomes[1], ProblemError)
    assert outcomes[2] is before


@pytest.mark.parametrize("count", [1, 9])
def test_the_work_knows_its_request_and_is_bounded(count):
    """What was set for the request is seen in every thread, of which there are a few."""
    REQUEST.set("this one")
    threads = set()

    def look(_: int) -> str:
        threads.add(threading.get_ident())
        return REQUEST.get()

    assert each(look, list(range(count))) == ["this one"] * count
    assert len(threads) <= AT_A_TIME


def test_a_defect_is_not_hidden():
    """What is no problem document goes on to whoever handles defects."""
    with pytest.raises(ZeroDivisionError):
        each(lambda number: 1 // number, [0, 1])
