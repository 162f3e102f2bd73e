"""Serves the page on this machine alone, until the person is done."""

from __future__ import annotations

import secrets
import threading
import webbrowser
from collections.abc import Callable

from cheroot import wsgi

from scenery.errors import StackError
from training.annotate.app import create_app
from training.annotate.task import Task

HOST = "127.0.0.1"
_THREADS = 8
_GRACE_SECONDS = 2


def serve_page(task: Task, port: int, open_browser: bool, say: Callable[[str], None]) -> None:
    """Serve a task's page, and return when the person is done or presses Ctrl-C: every answer is on disk.

    Parameters
    ----------
    port
        0 takes a free one.
    say
        Is told the address, in whose path a secret is.

    Raises
    ------
    StackError
        If the port is taken.
    """
    token, done = secrets.token_urlsafe(16), threading.Event()
    server = wsgi.Server((HOST, port), create_app(task, token, done.set), numthreads=_THREADS)
    server.shutdown_timeout = _GRACE_SECONDS
    try:
        server.prepare()
    except OSError as error:
        raise StackError(f"Port {port} on {HOST} cannot be used: {error}. Leave --port out for a free one.") from error
    serving = threading.Thread(target=server.serve, name="page", daemon=True)
    serving.start()
    url = f"http://{HOST}:{server.bind_addr[1]}/{token}/"
    try:
        say(f"Label the photos at {url}\nWhen you are done, press Done there or Ctrl-C here.")
        if open_browser and not webbrowser.open(url):
            say("No browser could be opened from here: open the address yourself.")
        done.wait()
    except KeyboardInterrupt:
        say("")
    finally:
        server.stop()
        serving.join(_GRACE_SECONDS)
