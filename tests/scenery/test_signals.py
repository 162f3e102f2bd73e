"""The signals that end a command."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_COMMAND = """
import signal
from scenery.signals import interrupt_on_termination
interrupt_on_termination()
try:
    signal.raise_signal(signal.{name})
    print("goes on")
except KeyboardInterrupt:
    print("cleans up")
"""


@pytest.mark.parametrize(
    ("name", "ignored", "said"),
    [("SIGHUP", True, "goes on"), ("SIGHUP", False, "cleans up"), ("SIGTERM", False, "cleans up")],
)
def test_termination_is_an_interruption_unless_it_is_ignored(name, ignored, said):
    """A closed terminal and a kill end a command as Ctrl-C does; what nohup started outlives its terminal."""

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)

    command = [sys.executable, "-c", _COMMAND.format(name=name)]
    done = subprocess.run(command, preexec_fn=ignore, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said
