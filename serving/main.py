"""``scenery-model-server``: the command line, signals and exit statuses of a model server."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import version

from scenery.onednn import prefer_onednn
from serving.errors import ServingError
from serving.flags import PROGRAM, CommandLine, FlagError, parse_flags, suggestion, usage

log = logging.getLogger("serving")

BANNER = (
    f"{PROGRAM} %s: Scenery's embedded model server, for one machine, development and tests. "
    "It speaks TensorFlow Serving's API; on a cluster run tensorflow_model_server with the same flags."
)

FAILED = 255


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, then finish what is in flight; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if "--help" in given or "-h" in given:
        print(usage(), flush=True)
        return FAILED
    try:
        flags = parse_flags(given)
    except FlagError as error:
        print(f"{error}\n{usage()}", flush=True)
        return FAILED
    if flags.version:
        print(_versions(), flush=True)
        return 0
    return _serve(flags)


def _serve(flags: CommandLine) -> int:
    for argument in flags.unknown:
        print(f"unknown argument: {argument}{suggestion(argument)} See --help.", flush=True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    prefer_onednn()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    log.info(BANNER, version("scenery"))
    for name in flags.ignored:
        log.warning("--%s has no effect here", name)
    stop = threading.Event()
    _stop_on_signals(stop)
    try:
        from serving.server import serve

        if not serve(flags, stop):
            log.warning("What is still at work after the grace period is abandoned")
            _end_at_once()
    except ServingError as error:
        print(f"Failed to start server. Error: {error.code}: {error.message}", flush=True)
        return FAILED
    return 0


def _end_at_once() -> None:
    """End the process with status 0, without waiting for threads that may run a model for long."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def _stop_on_signals(stop: threading.Event) -> None:
    """Let the first SIGTERM or SIGINT ask for a stop, and the second end the process at once."""

    def handle(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


def _versions() -> str:
    library = version("tensorflow")
    return f"TensorFlow ModelServer: {library} API, by {PROGRAM} {version('scenery')}\nTensorFlow Library: {library}"


if __name__ == "__main__":
    sys.exit(main())
