"""The priority of threads: a load gives way to requests."""

from __future__ import annotations

import os
import sys
import threading

NICENESS = 10
"""A tenth of the processor's time where others want all of it: a load takes longer then, and comes to its end."""


def give_way() -> None:
    """Let the calling thread run after others, and those that it starts from now on; it cannot be taken back.

    Only Linux gives threads priorities of their own (sched(7)); elsewhere nothing happens.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
