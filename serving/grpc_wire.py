"""The gRPC wire: TF Serving's services over the data plane."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from scenery import wire
from serving.data_plane import DataPlane
from serving.errors import ServingError

log = logging.getLogger(__name__)

_UNLIMITED = -1
_OPTIONS = [
    ("grpc.max_receive_message_length", _UNLIMITED),
    ("grpc.max_send_message_length", _UNLIMITED),
    ("grpc.so_reuseport", 0),
]


def make_grpc_server(plane: DataPlane, address: str, threads: int) -> grpc.Server:
    """Make a gRPC server, not yet started, on ``host:port``.

    More than ``threads`` requests at a time are refused with RESOURCE_EXHAUSTED, not queued.

    Raises
    ------
    ServingError
        ``UNAVAILABLE`` if the address is taken.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="grpc")
    server = grpc.server(pool, options=_OPTIONS, maximum_concurrent_rpcs=threads)
    prediction = {
        "Predict": _handler(plane.predict, wire.PredictRequest),
        "GetModelMetadata": _handler(plane.model_metadata, wire.GetModelMetadataRequest),
    }
    model = {"GetModelStatus": _handler(plane.model_status, wire.GetModelStatusRequest)}
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(wire.PREDICTION_SERVICE, prediction),
            grpc.method_handlers_generic_handler(wire.MODEL_SERVICE, model),
        )
    )
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise ServingError("UNAVAILABLE", f"The gRPC address {address} cannot be opened: {error}") from error
    return server


def _handler(answer: Callable[[Any], Any], request_class: Any) -> grpc.RpcMethodHandler[Any, Any]:
    def handle(request: Any, context: grpc.ServicerContext) -> Any:
        left_seconds = context.time_remaining()
        if left_seconds is not None and left_seconds <= 0:
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "The deadline passed before the request was started.")
        try:
            return answer(request)
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
