"""Labelme itself, as another program with its own window."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

from scenery.errors import ConfigurationError
from training.annotate.labelme import FLAGS_FILE
from training.annotate.task import Task

PROGRAM = "labelme"


def is_installed() -> bool:
    """Tell whether ``labelme`` is on PATH."""
    return shutil.which(PROGRAM) is not None


def run_labelme(task: Task, say: Callable[[str], None]) -> None:
    """Open a task in Labelme, with the labels of its flag file; returns when its window is closed, or at Ctrl-C.

    Raises
    ------
    ConfigurationError
        If it is not installed, or fails.
    """
    command = [PROGRAM, str(task.folder), "--flags", str(task.folder / FLAGS_FILE), "--logger-level", "error"]
    try:
        window = subprocess.Popen(command)
    except FileNotFoundError as error:
        raise ConfigurationError(
            "There is no labelme on PATH. Install it (pip install labelme), or label in the browser: --tool page"
        ) from error
    say("Labelme is open. Close its window when you are done.")
    try:
        status = window.wait()
    except KeyboardInterrupt:
        window.terminate()
        window.wait()
        return
    if status != 0:
        raise ConfigurationError(
            f"{' '.join(command)} ended with status {status}. Its message is above; --tool page needs no Labelme."
        )
