"""A program that is measured: started, waited for, looked at, stopped."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.processes import cpu_seconds, family, memory_mb
from scenery.errors import StackError
from scenery.stack.process import Process

START_SECONDS = 120.0
STOP_SECONDS = 30.0
LOOK_SECONDS = 0.1


class Program(Process):
    """A running program, with the processes that it starts."""

    def cpu_seconds(self) -> float:
        """Return what it has computed so far, with all that it started."""
        return cpu_seconds(family(self._child.pid))

    def memory_mb(self) -> float:
        """Return the memory that it holds, with all that it started; what they share counts once."""
        return sum(map(memory_mb, family(self._child.pid)))

    def await_answer(self, url: str) -> None:
        """Ask until the answer is a success; raises :class:`StackError` with its last words if that takes too long."""
        # Never by way of a web proxy: what is asked runs on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + START_SECONDS
        while True:
            self.check()
            try:
                opener.open(url, timeout=START_SECONDS).close()
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    late = f"The {self.name} does not answer {url} after {START_SECONDS:g} s ({error})"
                    raise StackError(f"{late}. {self.last_words()}") from error
            time.sleep(LOOK_SECONDS)

    def stop(self, timeout_seconds: float) -> None:
        """Ask it to end, then kill it, and whatever it has left running."""
        started = family(self._child.pid)[1:]
        super().stop(timeout_seconds)
        for pid in started:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def last_words(self) -> str:
        """Return how it is, and the end of its log."""
        try:
            self.check()
        except StackError as ended:
            return str(ended)
        return f"The {self.name} runs. {self._last_words()}"


def python(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this Python."""
    return [sys.executable, "-m", module, *map(str, arguments)]


@contextmanager
def running_program(name: str, command: Sequence[str], folder: Path) -> Iterator[Program]:
    """Run a program until the block ends, its output in a file of the folder.

    Raises
    ------
    StackError
        If it cannot be started.
    """
    program = Program(name, command, folder / f"{name}.log")
    try:
        yield program
    finally:
        program.stop(STOP_SECONDS)
