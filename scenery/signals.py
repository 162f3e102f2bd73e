"""The signals that end a command."""

from __future__ import annotations

import signal


def interrupt_on_termination() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does, so that what is half done is undone or kept.

    A signal that whoever started the process has it ignore, as ``nohup`` does, stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
