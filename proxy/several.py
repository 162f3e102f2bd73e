"""The photos of one request, each on its own: one that fails is its own error, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from proxy.problems import ProblemError

AT_A_TIME = 4
"""Photos of one request that are worked on at a time."""

_From = TypeVar("_From")
_To = TypeVar("_To")


def each(work: Callable[[_From], _To], items: Sequence[_From | ProblemError]) -> list[_To | ProblemError]:
    """Return what comes of each item, in their order; what is a problem already stays one."""

    def attempt(item: _From | ProblemError) -> _To | ProblemError:
        if isinstance(item, ProblemError):
            return item
        try:
            return work(item)
        except ProblemError as error:
            return error

    if len(items) == 1:
        return [attempt(items[0])]
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        # Each in a copy of the request's context, which knows its id.
        running = [threads.submit(copy_context().run, attempt, item) for item in items]
        return [future.result() for future in running]
