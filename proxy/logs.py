"""The log: one JSON object a line on stderr, whoever speaks; and one line for each request.

Modules speak by the standard library's logging, as gunicorn, gRPC and warnings do; the line of a request goes
past it, which takes half the time. What that holds is named here, one by one: nothing of a photo unless asked
for, never a key.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from flask import Flask, g
from gunicorn.glogging import Logger
from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, Processor

from proxy.exchange import PROBES, Exchange, watch
from proxy.request_id import current_request_id

log = logging.getLogger(__name__)

MAX_PATH_CHARACTERS = 256
"""What is told of a path. A line then stays below the 4096 bytes that a pipe takes at once (PIPE_BUF, pipe(7))."""

_OURS = ("proxy", "scenery")
_requests = structlog.get_logger()


def configure_logging(level: str) -> None:
    """Write what this process logs as JSON lines to stderr; once, before a fork or after it.

    Parameters
    ----------
    level
        ``debug``, ``info``, ``warning`` or ``error``. Libraries are heard from ``warning`` on, whatever it
        is: some tell whole addresses on their way.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel("ERROR" if level == "error" else "WARNING")
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())
    logging.getLogger("urllib3").setLevel("ERROR")  # its warnings tell the URLs of photos
    logging.captureWarnings(True)
    threading.excepthook = _log_uncaught
    structlog.configure(
        processors=[*_processors(), JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _processors() -> list[Processor]:
    return [TimeStamper(fmt="iso", utc=True, key="time"), add_log_level, _add_request_id, format_exc_info]


def _formatter() -> logging.Formatter:
    return ProcessorFormatter(
        foreign_pre_chain=[add_logger_name, ExtraAdder(), *_processors()],
        processors=[ProcessorFormatter.remove_processors_meta, JSONRenderer()],
    )


def _add_request_id(_logger: Any, _method: str, line: EventDict) -> EventDict:
    request_id = current_request_id()
    if request_id is not None:
        line["request_id"] = request_id
    return line


def _log_uncaught(thread: threading.ExceptHookArgs) -> None:
    if thread.exc_value is not None:
        name = thread.thread.name if thread.thread else "unknown"
        log.critical("The thread %s ended by a defect", name, exc_info=thread.exc_value)


class GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's own lines, handed on to the handler of :func:`configure_logging`; its ``logger_class``."""

    def setup(self, cfg: Any) -> None:
        """Take the level from ``loglevel``, and drop the handlers that gunicorn gives itself."""
        super().setup(cfg)
        for each in (self.error_log, self.access_log):
            each.handlers.clear()
            each.propagate = True


def note(*, photos: int | None = None, versions: Iterable[int] | None = None, key_holder: str | None = None) -> None:
    """Tell what the line of the running request is to hold besides; the last word on each counts.

    Parameters
    ----------
    photos
        How many the request has.
    versions
        Those that answered.
    key_holder
        Whose key it is; never the key.
    """
    given = {"photos": photos, "versions": versions and sorted(set(versions)), "key_holder": key_holder}
    _noted().update({name: fact for name, fact in given.items() if fact is not None})


def note_photo(file: str | None, labels: Sequence[str], scores: Mapping[str, float]) -> None:
    """Tell of one photo of the running request; written only where photos may be logged."""
    g.setdefault("log_photos", []).append({"file": file, "labels": list(labels), "scores": dict(scores)})


def _noted() -> dict[str, Any]:
    noted: dict[str, Any] = g.setdefault("log_noted", {})
    return noted


def register_request_log(app: Flask, log_photos: bool) -> None:
    """Log a line for each request of ``app``, however it ends; those of probes at debug level.

    Nothing is written unless :func:`configure_logging` was called. It is written when the answer is out: nobody
    waits for it.

    Parameters
    ----------
    log_photos
        Whether what :func:`note_photo` was told is written too.
    """

    def end(exchange: Exchange) -> None:
        level = logging.DEBUG if exchange.route in PROBES else logging.INFO
        if not structlog.is_configured() or not _requests.is_enabled_for(level):
            return
        write = partial(_write, level, _line(exchange, log_photos))
        if exchange.response is None or exchange.response.direct_passthrough:  # a file's, which nobody closes
            write()
        else:
            exchange.response.call_on_close(write)

    watch(app, lambda _: None, end)


def _write(level: int, line: dict[str, Any]) -> None:
    with suppress(OSError):  # a log that is full, or read by nobody, is no reason to answer nobody
        _requests.log(level, "request", **line)


def _line(exchange: Exchange, log_photos: bool) -> dict[str, Any]:
    asked = exchange.request
    line = {
        "logger": __name__,
        "request_id": current_request_id(),
        "method": asked.method,
        "route": exchange.route,
        "path": asked.path[:MAX_PATH_CHARACTERS],
        "status": exchange.status,
        "duration_ms": round(1000 * exchange.seconds, 1),
        "bytes_in": asked.content_length,
        "problem": exchange.problem,
        **_noted(),
    }
    if log_photos and "log_photos" in g:
        line["photo_answers"] = g.log_photos
    return {name: fact for name, fact in line.items() if fact is not None}
