"""The gRPC wire: TF Serving's services over the data plane."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from scenery import wire
from serving.data_plane import Call, DataPlane
from serving.errors import ServingError, invalid_argument

log = logging.getLogger(__name__)

_UNLIMITED = -1
_SPARE_THREADS = 8
"""For what runs no model, and to refuse what is too much."""
_OPTIONS = [
    ("grpc.max_receive_message_length", _UNLIMITED),
    ("grpc.max_send_message_length", _UNLIMITED),
    ("grpc.so_reuseport", 0),
]
_HEALTH_SERVICES = (health.OVERALL_HEALTH, "PredictionService")
"""The names that tensorflow_model_server answers for; the second is not the service's full name."""


@dataclass(frozen=True)
class GrpcOptions:
    """Where and how gRPC is served."""

    addresses: tuple[str, ...]
    """Such as ``127.0.0.1:8500`` or ``unix:/run/model-server.sock``; TLS is used on the former only."""
    threads: int
    ssl: wire.SSLConfig | None = None
    channel_arguments: str = ""
    """``key=value``, with commas between."""
    health: bool = False


class GrpcServer:
    """Serves the data plane over gRPC from :meth:`start` to :meth:`begin_stop`.

    More than ``threads`` runs of models at a time are refused with RESOURCE_EXHAUSTED, not queued. What runs no
    model, such as the health service, does not count.
    """

    def __init__(self, plane: DataPlane, options: GrpcOptions) -> None:
        """Bind the addresses; raises :class:`ServingError` (``UNAVAILABLE``) if one cannot be used."""
        pool = ThreadPoolExecutor(options.threads + _SPARE_THREADS, thread_name_prefix="grpc")
        arguments = [*_OPTIONS, *_channel_arguments(options.channel_arguments)]
        self._server = grpc.server(pool, options=arguments)
        self._stopped = threading.Event()
        self._health = _Health()
        if options.health:
            for service in _HEALTH_SERVICES:
                self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_generic_rpc_handlers(
            (*_services(plane, threading.BoundedSemaphore(options.threads)), _Unimplemented())
        )
        for address in options.addresses:
            self._bind(address, options.ssl)

    def start(self) -> None:
        """Answer requests from now on."""
        self._server.start()

    def begin_stop(self, grace_seconds: float) -> None:
        """Refuse new requests, and give those in flight some time."""
        self._health.enter_graceful_shutdown()
        self._stopped = self._server.stop(grace_seconds)

    def wait(self, seconds: float) -> bool:
        """Wait until no request is in flight any more; False if that took too long. Call :meth:`begin_stop` first."""
        return bool(self._stopped.wait(max(0.0, seconds)))

    def _bind(self, address: str, ssl: wire.SSLConfig | None) -> None:
        try:
            if ssl is None or address.startswith("unix:"):
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, _credentials(ssl))
        except (RuntimeError, ValueError) as error:
            raise ServingError(
                "UNAVAILABLE",
                f"The gRPC address {address} cannot be opened: it is in use, or none of this machine's. "
                "Stop what listens there, or choose another --port.",
            ) from error


def _services(
    plane: DataPlane, slots: threading.BoundedSemaphore
) -> tuple[grpc.GenericRpcHandler[Any, Any], grpc.GenericRpcHandler[Any, Any]]:
    prediction = {
        "Predict": _handler(_bounded(slots, _timed(plane.predict)), wire.PredictRequest),
        "Classify": _handler(_bounded(slots, _timed(plane.classify)), wire.ClassificationRequest),
        "Regress": _handler(_bounded(slots, _timed(plane.regress)), wire.RegressionRequest),
        "MultiInference": _handler(_bounded(slots, _timed(plane.multi_inference)), wire.MultiInferenceRequest),
        "GetModelMetadata": _handler(_timed(plane.model_metadata), wire.GetModelMetadataRequest),
    }
    model = {
        "GetModelStatus": _handler(_timed(plane.model_status), wire.GetModelStatusRequest),
        "HandleReloadConfigRequest": _handler(
            lambda request, context: plane.reload_config(request, lambda: not context.is_active()),
            wire.ReloadConfigRequest,
        ),
    }
    return (
        grpc.method_handlers_generic_handler(wire.PREDICTION_SERVICE, prediction),
        grpc.method_handlers_generic_handler(wire.MODEL_SERVICE, model),
    )


Answer = Callable[[Any, grpc.ServicerContext], Any]


def _bounded(slots: threading.BoundedSemaphore, answer: Answer) -> Answer:
    """Refuse what comes while all slots are taken."""

    def bounded(request: Any, context: grpc.ServicerContext) -> Any:
        if not slots.acquire(blocking=False):
            raise ServingError("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted; see --grpc_max_threads")
        try:
            return answer(request, context)
        finally:
            slots.release()

    return bounded


def _timed(answer: Callable[[Any, Call], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
    """Let an answer take no longer than its caller waits."""

    def timed(request: Any, context: grpc.ServicerContext) -> Any:
        call = Call.within("GRPC", context.time_remaining())
        call.timeout_seconds()
        return answer(request, call)

    return timed


def _handler(answer: Callable[[Any, grpc.ServicerContext], Any], request_class: Any) -> grpc.RpcMethodHandler[Any, Any]:
    def handle(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return answer(request, context)
        except ServingError as error:
            context.abort(grpc.StatusCode[error.code], error.message)
        except Exception:
            log.exception("A request failed by a defect of the server")
            context.abort(grpc.StatusCode.INTERNAL, "The server failed to handle this request; see its log.")

    return grpc.unary_unary_rpc_method_handler(
        handle,
        request_deserializer=request_class.FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )


class _Unimplemented(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Answers for every method that is not there as gRPC's C++ servers do: without a text."""

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return grpc.unary_unary_rpc_method_handler(lambda _, context: context.abort(grpc.StatusCode.UNIMPLEMENTED, ""))


class _Health(health.HealthServicer):  # type: ignore[misc]  # nor has this package
    """The standard health service; an unknown service is named as gRPC's C++ servers name it."""

    def __init__(self) -> None:
        super().__init__()
        self._watchers: list[Callable[[Any], None]] = []

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 (gRPC's name)
        """Tell whether a service serves."""
        answer = super().Check(request, context)
        if context.code() is grpc.StatusCode.NOT_FOUND:
            context.set_details("service name unknown")
        return answer

    def Watch(self, request: Any, context: Any, send_response_callback: Any = None) -> Any:  # noqa: N802
        """Tell whether a service serves, and again whenever that changes."""
        self._watchers.append(send_response_callback)
        context.add_callback(lambda: self._watchers.remove(send_response_callback))
        return super().Watch(request, context, send_response_callback)

    def enter_graceful_shutdown(self) -> None:
        """Tell everybody that nothing serves any more, and end what would keep a stop waiting."""
        super().enter_graceful_shutdown()
        for tell in list(self._watchers):
            tell(None)


def _channel_arguments(text: str) -> list[tuple[str, int | str]]:
    arguments: list[tuple[str, int | str]] = []
    for each in filter(None, text.split(",")):
        key, equals, value = each.partition("=")
        if not equals:
            raise invalid_argument(f"--grpc_channel_arguments takes key=value,key=value. Received: {each!r}")
        arguments.append((key, int(value) if value.lstrip("-").isdecimal() else value))
    return arguments


def _credentials(ssl: wire.SSLConfig) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(ssl.server_key.encode(), ssl.server_cert.encode())],
        root_certificates=ssl.custom_ca.encode() or None,
        require_client_auth=ssl.client_verify,
    )
