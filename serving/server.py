"""The composition root: flags in, a running server out."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from scenery import wire
from serving.batching import BatchingOptions
from serving.core import CoreOptions, ServerCore
from serving.data_plane import DataPlane
from serving.errors import ServingError, invalid_argument
from serving.flags import CORES, CommandLine
from serving.grpc_wire import GrpcOptions, GrpcServer
from serving.lite import check_runtime
from serving.loader import Loader, LoaderOptions
from serving.manager import LoadRetries, Manager
from serving.metrics import ServerMetrics
from serving.rest_server import RestOptions, RestServer
from serving.saved_model import SessionOptions
from serving.text_proto import read_text_proto

log = logging.getLogger("serving")

GRACE_SECONDS = 10.0
"""How long a stopping server waits for the requests in flight."""
_LOOK_SECONDS = 0.2
_ONCE = wire.enum_values("tensorflow.RewriterConfig.NumIterationsType")["ONE"]
_NOT_FOR_MEMORY = wire.enum_values("tensorflow.RewriterConfig.MemOptType")["NO_MEM_OPT"]


def serve(flags: CommandLine, stop: threading.Event) -> bool:
    """Wire everything together and serve until ``stop`` is set.

    Returns
    -------
    False if a request or a load is still at work after the grace period: its thread cannot be ended,
    only the process can.

    Raises
    ------
    ServingError
        If the configuration or a port cannot be used, or a model does not become AVAILABLE.
    """
    _check(flags)
    metrics = ServerMetrics()
    options = _loader_options(flags, metrics)
    manager = Manager(
        lambda name, path: Loader(name, path, options),
        LoadRetries(flags.max_num_load_retries, flags.load_retry_interval_micros / 1e6),
        load_threads=max(1, flags.num_load_threads),
        unload_threads=max(1, flags.num_unload_threads),
        loads_give_way=not _starts_threads(options),
    )
    core = ServerCore(_core_options(flags), manager)
    metrics.version_state.read = manager.gauge
    plane = DataPlane(
        core, metrics, flags.enable_signature_method_name_check, flags.enable_serialization_as_tensor_content
    )
    rest_options = _rest_options(flags)
    grpc_options = _grpc_options(flags)
    try:
        core.start(stop.is_set)
        if stop.is_set():
            log.info("Stopping before the start was complete.")
            return core.stop(GRACE_SECONDS)
        servers: list[GrpcServer | RestServer] = [GrpcServer(plane, grpc_options)]
        if rest_options:
            servers.append(RestServer(plane, rest_options))
    except ServingError:
        core.stop(0)
        raise
    for server in servers:
        server.start()
    _log_addresses(flags)
    # A signal may be delivered to a thread of TensorFlow's; this one must come round to handle it.
    while not stop.wait(_LOOK_SECONDS):
        pass
    log.info("Stopping: no new requests, those in flight are finished.")
    return _stop(servers, core)


def _log_addresses(flags: CommandLine) -> None:
    log.info("Running gRPC ModelServer at %s ...", " ".join(_grpc_addresses(flags)))
    if flags.rest_api_port:
        log.info("Exporting HTTP/REST API at:localhost:%d ...", flags.rest_api_port)
    log.info("Entering the event loop ...")


def _stop(servers: list[GrpcServer | RestServer], core: ServerCore) -> bool:
    """Refuse new requests, finish the accepted ones, free the models; False if that took too long."""
    deadline = time.monotonic() + GRACE_SECONDS
    for server in servers:
        server.begin_stop(GRACE_SECONDS)
    finished = [server.wait(deadline - time.monotonic()) for server in servers]
    return core.stop(max(0.0, deadline - time.monotonic())) and all(finished)


def _check(flags: CommandLine) -> None:
    """Refuse what cannot be meant, in the real server's words."""
    if not flags.port and not flags.grpc_socket_path:
        raise invalid_argument(
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."
        )
    if not flags.model_base_path and not flags.model_config_file:
        raise invalid_argument("Both server_options.model_base_path and server_options.model_config_file are empty!")
    if flags.batching_parameters_file and not flags.enable_batching:
        raise invalid_argument(
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
        )
    if flags.num_tflite_pools < 0:
        raise invalid_argument(f"num_tflite_pools must be non-negative; was {flags.num_tflite_pools}")
    if flags.num_tflite_interpreters_per_pool < 1:
        raise invalid_argument(
            f"num_tflite_interpreters_per_pool must be positive; was {flags.num_tflite_interpreters_per_pool}"
        )
    if flags.prefer_tflite_model:
        check_runtime()


def _core_options(flags: CommandLine) -> CoreOptions:
    return CoreOptions(
        model_name=flags.model_name,
        model_base_path=flags.model_base_path,
        config_file=_path(flags.model_config_file),
        config_poll_seconds=flags.model_config_file_poll_wait_seconds,
        poll_seconds=flags.file_system_poll_wait_seconds,
        allow_labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
    )


def _grpc_options(flags: CommandLine) -> GrpcOptions:
    ssl = read_text_proto(Path(flags.ssl_config_file), wire.SSLConfig) if flags.ssl_config_file else None
    return GrpcOptions(
        _grpc_addresses(flags),
        max(1, flags.grpc_max_threads),
        ssl,
        flags.grpc_channel_arguments,
        flags.enable_grpc_healthcheck_service,
    )


def _grpc_addresses(flags: CommandLine) -> tuple[str, ...]:
    host = f"[{flags.host}]" if ":" in flags.host else flags.host
    port = [f"{host}:{flags.port}"] if flags.port else []
    socket = [f"unix:{flags.grpc_socket_path}"] if flags.grpc_socket_path else []
    return (*port, *socket)


def _rest_options(flags: CommandLine) -> RestOptions | None:
    if not flags.rest_api_port:
        return None
    if flags.rest_api_port == flags.port:
        log.error("--rest_api_port cannot be the same as --port; REST is off. Choose another port.")
        return None
    monitoring = wire.MonitoringConfig()
    if flags.monitoring_config_file:
        monitoring = read_text_proto(Path(flags.monitoring_config_file), wire.MonitoringConfig)
    return RestOptions(
        flags.host,
        flags.rest_api_port,
        max(1, flags.rest_api_num_threads),
        flags.rest_api_timeout_in_ms / 1e3,
        flags.rest_api_enable_cors_support,
        monitoring.prometheus_config,
    )


def _loader_options(flags: CommandLine, metrics: ServerMetrics) -> LoaderOptions:
    batching = None
    if flags.enable_batching:
        parameters = wire.BatchingParameters()
        if flags.batching_parameters_file:
            parameters = read_text_proto(Path(flags.batching_parameters_file), wire.BatchingParameters)
        batching = BatchingOptions.from_proto(parameters)
    return LoaderOptions(
        SessionOptions(tuple(flags.saved_model_tags.split(",")), _session_config(flags)),
        batching,
        flags.enable_per_model_batching_parameters,
        _lite_interpreters(flags),
        flags.enable_model_warmup,
        max(1, flags.num_request_iterations_for_warmup),
        metrics,
    )


def _starts_threads(options: LoaderOptions) -> bool:
    """Tell whether a version has threads of its own, which its load starts; TensorFlow's are shared by default."""
    config = options.session.config
    of_its_session = config.use_per_session_threads or len(config.session_inter_op_thread_pool) > 0
    return options.batching is not None or of_its_session


def _lite_interpreters(flags: CommandLine) -> int | None:
    if not flags.prefer_tflite_model:
        return None
    pools: int = flags.num_tflite_pools or CORES
    in_each: int = flags.num_tflite_interpreters_per_pool
    return pools * in_each


def _session_config(flags: CommandLine) -> wire.ConfigProto:
    if flags.tensorflow_session_config_file:
        config = read_text_proto(Path(flags.tensorflow_session_config_file), wire.ConfigProto)
    else:
        config = _quickly_planned()
    both = flags.tensorflow_session_parallelism
    intra, inter = flags.tensorflow_intra_op_parallelism or both, flags.tensorflow_inter_op_parallelism or both
    if intra:
        config.intra_op_parallelism_threads = intra
    if inter:
        config.inter_op_parallelism_threads = inter
    if flags.per_process_gpu_memory_fraction:
        config.gpu_options.per_process_gpu_memory_fraction = flags.per_process_gpu_memory_fraction
    return config


def _quickly_planned() -> wire.ConfigProto:
    """Return a configuration by which TensorFlow rewrites a graph once, not twice, and not to save memory in training.

    A version of the shipped model is then loaded in two thirds of the time, and runs as fast.
    """
    config = wire.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.meta_optimizer_iterations = _ONCE
    rewriting.memory_optimization = _NOT_FOR_MEMORY
    return config


def _path(text: str) -> Path | None:
    return Path(text) if text else None
