"""``scenery-model-server``: ``tensorflow_model_server``'s flags, and signals."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import version

from scenery import contract

log = logging.getLogger("serving")

BANNER = (
    "scenery-model-server {version}: Scenery's embedded model server, for one machine, development and tests. "
    "It speaks TensorFlow Serving's API; on a cluster run tensorflow_model_server with the same flags."
)

FAILED_TO_START = 255


def parse_flags(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; of a repeated flag the last one counts."""
    parser = argparse.ArgumentParser(
        prog="scenery-model-server",
        allow_abbrev=False,
        description="Serve SavedModels over TensorFlow Serving's gRPC and REST APIs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )

    def flag(name: str, kind: type, default: object, text: str) -> None:
        parser.add_argument(f"--{name}", type=kind, default=default, help=text)

    flag("host", str, "127.0.0.1", "Address to listen on; the real server listens on every one (0.0.0.0).")
    flag("port", int, contract.GRPC_PORT, "TCP port for gRPC.")
    flag("rest_api_port", int, 0, "TCP port for REST; 0 switches REST off.")
    flag("model_name", str, "default", "Name of the model, if no model_config_file is given.")
    flag("model_base_path", str, "", "Absolute path of the folder of its versions.")
    flag("model_config_file", str, "", "A ModelServerConfig in text format, instead of name and path.")
    flag("file_system_poll_wait_seconds", float, 1.0, "Seconds between two looks for versions; 0: look once.")
    flag("max_num_load_retries", int, 5, "How often a failing load is tried again.")
    flag("load_retry_interval_micros", int, 60_000_000, "Microseconds between two tries to load.")
    flag("num_load_threads", int, 2, "Threads that load and unload.")
    flag("grpc_max_threads", int, 4 * (os.cpu_count() or 1), "Requests over gRPC handled at a time.")
    flag("rest_api_num_threads", int, 4 * (os.cpu_count() or 1), "Requests over REST handled at a time.")
    flag("tensorflow_intra_op_parallelism", int, 0, "Threads for one operation; 0: TensorFlow decides.")
    flag("tensorflow_inter_op_parallelism", int, 0, "Operations run at a time; 0: TensorFlow decides.")
    parser.add_argument("--version", action="version", version=f"scenery-model-server {version('scenery')}")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, then finish what is in flight; returns the exit status."""
    flags = parse_flags(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    log.info(BANNER.format(version=version("scenery")))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    from serving.errors import ServingError
    from serving.server import serve

    try:
        serve(flags, stop)
    except ServingError as error:
        print(f"Failed to start server. Error: {error.code}: {error.message}", flush=True)
        return FAILED_TO_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
