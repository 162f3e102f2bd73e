"""The composition root: flags in, a running server out."""

from __future__ import annotations

import argparse
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from scenery import wire
from serving.core import ServerCore, read_config_file, single_model_config
from serving.data_plane import DataPlane
from serving.errors import invalid_argument
from serving.grpc_wire import make_grpc_server
from serving.loader import Loader
from serving.manager import LoadRetries, Manager
from serving.rest_server import RestServer

log = logging.getLogger("serving")

GRACE_SECONDS = 10.0
"""How long a stopping server waits for the requests in flight."""


def serve(flags: argparse.Namespace, stop: threading.Event) -> None:
    """Wire everything together and serve until ``stop`` is set.

    Raises
    ------
    ServingError
        If the configuration or a port cannot be used.
    """
    retries = LoadRetries(flags.max_num_load_retries, flags.load_retry_interval_micros / 1e6)
    manager = Manager(_loader_factory(flags), retries, flags.num_load_threads)
    core = ServerCore(_config(flags), manager, flags.file_system_poll_wait_seconds)
    try:
        core.start(stop)
        if not stop.is_set():
            _listen(DataPlane(core), flags, stop)
    finally:
        core.stop()


def _listen(plane: DataPlane, flags: argparse.Namespace, stop: threading.Event) -> None:
    """Open the ports, wait for ``stop``, refuse new requests and finish the accepted ones."""
    grpc_server = make_grpc_server(plane, f"{flags.host}:{flags.port}", flags.grpc_max_threads)
    rest_server = None
    if flags.rest_api_port:
        rest_server = RestServer(plane, flags.host, flags.rest_api_port, flags.rest_api_num_threads)
    grpc_server.start()
    log.info("Running gRPC ModelServer at %s:%d ...", flags.host, flags.port)
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
    if flags.model_config_file:
        return read_config_file(Path(flags.model_config_file))
    if not flags.model_base_path:
        raise invalid_argument("Both server_options.model_base_path and server_options.model_config_file are empty!")
    return single_model_config(flags.model_name, flags.model_base_path)


def _loader_factory(flags: argparse.Namespace) -> Callable[[Path], Loader]:
    session_config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=flags.tensorflow_intra_op_parallelism,
        inter_op_parallelism_threads=flags.tensorflow_inter_op_parallelism,
    )
    return lambda path: Loader(path, session_config)
