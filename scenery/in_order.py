"""Work done by several threads at a time, its results in the order of what it was done on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

AHEAD = 16
"""How many items a thread, on average, may be ahead of the slowest one. This bounds memory."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_order(
    work: Callable[[_Item], _Result], items: Iterable[_Item], threads: int, ahead: int = AHEAD
) -> Generator[_Result, None, None]:
    """Yield the result of each item as soon as it and all before it are there; raise what work raised.

    Items are taken as there is room for them. Close this to stop: what is being worked on then is
    left to its thread, and nobody waits for it, neither at the end of the program.
    """
    todo: SimpleQueue[tuple[_Item, Future[_Result]] | None] = SimpleQueue()
    window: deque[Future[_Result]] = deque()
    for _ in range(threads):
        # Daemons: an executor's threads would be waited for, perhaps for as long as a server is silent.
        Thread(target=_run, args=(work, todo), daemon=True).start()
    try:
        for item in items:
            window.append(Future())
            todo.put((item, window[-1]))
            while len(window) >= threads * ahead or (window and window[0].done()):
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        _empty(todo)
        for _ in range(threads):
            todo.put(None)


def _run(work: Callable[[_Item], _Result], todo: SimpleQueue[tuple[_Item, Future[_Result]] | None]) -> None:
    while (job := todo.get()) is not None:
        item, future = job
        try:
            future.set_result(work(item))
        except BaseException as error:
            future.set_exception(error)


def _empty(queue: SimpleQueue[_Item]) -> None:
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
