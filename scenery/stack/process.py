"""A child process with a name, a log file and an orderly end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from scenery.errors import StackError

_LOG_LINES = 12


class Process:
    """A running program. It has a session of its own, so that Ctrl-C reaches it only through :meth:`stop`."""

    def __init__(
        self, name: str, command: Sequence[str], log_file: Path | None, env: Mapping[str, str] | None = None
    ) -> None:
        """Start ``command``, its output in ``log_file``, or on this process's standard error.

        Raises
        ------
        StackError
            If the program cannot be started.
        """
        self.name = name
        self._log_file = log_file
        try:
            with log_file.open("wb") if log_file else nullcontext(sys.stderr) as log:
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(env or {})},
                    start_new_session=True,
                )
        except OSError as error:
            raise StackError(f"The {name} cannot be started: {command[0]}: {error.strerror}.") from error

    def check(self) -> None:
        """Raise :class:`StackError`, with the end of its log, if the program has ended by itself."""
        status = self._child.poll()
        if status is not None:
            raise StackError(f"The {self.name} ended by itself with status {status}. {self._last_words()}")

    def _last_words(self) -> str:
        if self._log_file is None:
            return "What it said stands above."
        lines = self._log_file.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "Its last lines:\n" + "\n".join(lines)

    def stop(self, timeout_seconds: float) -> None:
        """Ask the program to end, wait for it, and kill it if it takes too long."""
        self._child.terminate()
        try:
            self._child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
