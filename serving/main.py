"""``scenery-model-server``: the composition root, with ``tensorflow_model_server``'s flags."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from scenery import contract, wire

log = logging.getLogger("serving")

BANNER = (
    "scenery-model-server {version}: Scenery's embedded model server, for one machine, development and tests. "
    "It speaks TensorFlow Serving's API; on a cluster run tensorflow_model_server with the same flags."
)

GRACE_SECONDS = 10.0
"""How long a stopping server waits for the requests in flight."""

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
    flag("port", int, contract.GRPC_PORT, "TCP port for gRPC; 0 takes a free one.")
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

    try:
        serve(flags, stop)
    except ServingError as error:
        print(f"Failed to start server. Error: {error.code}: {error.message}", flush=True)
        return FAILED_TO_START
    return 0


def serve(flags: argparse.Namespace, stop: threading.Event) -> None:
    """Wire everything together and serve until ``stop`` is set.

    Raises
    ------
    ServingError
        If the configuration or a port cannot be used.
    """
    from serving.core import ServerCore
    from serving.data_plane import DataPlane
    from serving.manager import Manager

    manager = Manager(_loader_factory(flags), _retries(flags), flags.num_load_threads)
    core = ServerCore(_config(flags), manager, flags.file_system_poll_wait_seconds)
    try:
        core.start()
        if not stop.is_set():
            _listen(DataPlane(core), flags, stop)
    finally:
        core.stop()


def _listen(plane: object, flags: argparse.Namespace, stop: threading.Event) -> None:
    """Open the ports, wait for ``stop``, refuse new requests and finish the accepted ones."""
    from serving.grpc_wire import make_grpc_server
    from serving.rest_server import RestServer

    grpc_server, port = make_grpc_server(plane, f"{flags.host}:{flags.port}", flags.grpc_max_threads)
    rest_server = None
    if flags.rest_api_port:
        rest_server = RestServer(plane, flags.host, flags.rest_api_port, flags.rest_api_num_threads)
    grpc_server.start()
    log.info("Running gRPC ModelServer at %s:%d ...", flags.host, port)
    if rest_server:
        rest_server.start()
        log.info("Exporting HTTP/REST API at:%s:%d ...", flags.host, flags.rest_api_port)
    stop.wait()
    log.info("Stopping: no new requests, those in flight are finished.")
    stopped = grpc_server.stop(GRACE_SECONDS)
    if rest_server:
        rest_server.stop(GRACE_SECONDS)
    stopped.wait()


def _config(flags: argparse.Namespace) -> wire.ModelServerConfig:
    from serving.core import read_config_file, single_model_config
    from serving.errors import invalid_argument

    if flags.model_config_file:
        return read_config_file(Path(flags.model_config_file))
    if not flags.model_base_path:
        raise invalid_argument("Both server_options.model_base_path and server_options.model_config_file are empty!")
    return single_model_config(flags.model_name, flags.model_base_path)


def _retries(flags: argparse.Namespace) -> object:
    from serving.manager import LoadRetries

    return LoadRetries(flags.max_num_load_retries, flags.load_retry_interval_micros / 1e6)


def _loader_factory(flags: argparse.Namespace) -> object:
    import tensorflow as tf

    from serving.loader import Loader

    session_config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=flags.tensorflow_intra_op_parallelism,
        inter_op_parallelism_threads=flags.tensorflow_inter_op_parallelism,
    )
    return lambda path: Loader(path, session_config)


if __name__ == "__main__":
    sys.exit(main())
