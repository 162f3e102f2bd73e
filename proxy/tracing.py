"""Traces: a span for each request and for each call that it makes of the model server, sent to a collector.

Off unless a collector is named; OpenTelemetry is imported then, and never before. A few lines over its plain
API: the instrumentation packages for Flask and gRPC cost more than the requests they watch.
Spans wait in memory and are sent by a thread of their own; those that find no collector are dropped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING

import grpc
from flask import Flask, Request, g

from proxy.exchange import PROBES, Exchange, route_of, watch
from scenery import wire
from scenery.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SERVICE_NAME = "scenery-proxy"
"""``service.name`` of the spans, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES gives another."""

EXPORT_SECONDS = 2.0
"""How long one batch may take to be sent, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise; the end waits for it."""

_MODULES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
_OFF: AbstractContextManager[None] = nullcontext()

_traces: _Traces | None = None


def start_tracing(app: Flask, endpoint: str | None) -> None:
    """Trace the requests of ``app``, if a collector is named; in each worker, after the fork.

    OpenTelemetry's own variables hold as well, such as OTEL_TRACES_SAMPLER and OTEL_BSP_SCHEDULE_DELAY. What is
    left is sent when the process ends.

    Parameters
    ----------
    endpoint
        Base address of an OTLP collector that takes HTTP, such as ``http://collector:4318``; None for what
        OTEL_EXPORTER_OTLP_ENDPOINT says, if anything.

    Raises
    ------
    ConfigurationError
        If OpenTelemetry is not installed.
    """
    global _traces
    if not names_collector(endpoint):
        return
    if _traces is None:
        _traces = _Traces(_provider(endpoint))
    watch(app, _traces.begin, _traces.end)


def names_collector(endpoint: str | None) -> bool:
    """Return whether traces are asked for, as :func:`start_tracing` is told.

    Raises
    ------
    ConfigurationError
        If they are, and OpenTelemetry is not installed.
    """
    if endpoint is None and not any(os.environ.get(name) for name in _ENDPOINTS):
        return False
    try:
        for module in _MODULES:
            import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            "SCENERY_OTLP_ENDPOINT names a collector for traces, and OpenTelemetry is not installed. "
            f"Install scenery[tracing], or unset it. Received: {error}"
        ) from error
    return True


def stop_tracing() -> None:
    """Send what is left and be off again; for whoever does not end the process."""
    global _traces
    if _traces is not None:
        _traces.provider.shutdown()
        _traces = None


def upstream_span(method: str, signature: str) -> AbstractContextManager[None]:
    """Return a context in which the running request calls the model server.

    It is a span where tracing is on and the request is traced: not in probes and shadows. A grpc.RpcError
    that leaves it becomes the span's status.
    """
    return _OFF if _traces is None else _traces.upstream(method, signature)


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """Return what a gRPC call must carry so that its server can go on with the trace (W3C Trace Context)."""
    return () if _traces is None else _traces.metadata()


def _provider(endpoint: str | None) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = Resource.create({"service.name": SERVICE_NAME}).merge(OTELResourceDetector().detect())
    exporter = OTLPSpanExporter(
        endpoint=None if endpoint is None else f"{endpoint.rstrip('/')}/v1/traces",
        timeout=None if any(os.environ.get(name) for name in _TIMEOUTS) else EXPORT_SECONDS,
    )
    provider = TracerProvider(resource=named)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


class _Traces:
    """The spans of one process. Threads share it."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation import tracecontext

        self.provider = provider
        self._tracer = provider.get_tracer("scenery.proxy")
        self._trace = trace
        self._context = context
        self._propagator = tracecontext.TraceContextTextMapPropagator()

    def begin(self, asked: Request) -> None:
        """Begin the span of a request, as part of the caller's trace if it has one; none for probes."""
        route = route_of(asked)
        if route in PROBES:
            return
        caller = self._propagator.extract(asked.headers, self._context.Context())
        attributes = {"http.request.method": asked.method, "url.scheme": asked.scheme}
        if route is not None:
            attributes["http.route"] = route
        name = "unknown" if route is None else f"{asked.method} {route}"
        span = self._tracer.start_span(name, caller, self._trace.SpanKind.SERVER, attributes)
        g.trace = span, self._context.attach(self._trace.set_span_in_context(span, caller))

    def end(self, exchange: Exchange) -> None:
        """End it."""
        span, token = g.pop("trace", (None, None))
        if span is None:
            return
        self._context.detach(token)
        span.set_attribute("http.response.status_code", exchange.status)
        if exchange.problem is not None:
            span.set_attribute("error.type", exchange.problem)
        if exchange.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    @contextmanager
    def upstream(self, method: str, signature: str) -> Iterator[None]:
        """Have a span around a call, beneath that of the request; none where there is no such."""
        if not self._trace.get_current_span().get_span_context().is_valid:
            yield
            return
        attributes = {
            "rpc.system": "grpc",
            "rpc.service": wire.PREDICTION_SERVICE,
            "rpc.method": method,
            "scenery.signature": signature,
        }
        span = self._tracer.start_span(
            f"{wire.PREDICTION_SERVICE}/{method}", kind=self._trace.SpanKind.CLIENT, attributes=attributes
        )
        # Not what an error says: the model server's words may be about the photo.
        with self._trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            code = grpc.StatusCode.OK
            try:
                yield
            except grpc.RpcError as error:
                code = error.code()
                span.set_status(self._trace.StatusCode.ERROR)
                raise
            finally:
                span.set_attribute("rpc.grpc.status_code", code.value[0])

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the running span as headers."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return tuple(carrier.items())
