"""Metrics in Prometheus' text format.

Not the ``prometheus_client`` library: it appends ``_total`` to the names of counters, and TF
Serving's names, which dashboards know, have none (docs/adr/0009).
Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Labels = tuple[str, ...]

MAX_POINTS = 2000
"""How many combinations of labels a metric keeps, the latest ones; versions come and go, and memory is finite."""


class _Metric:
    kind = ""

    def __init__(self, name: str, *labels: str) -> None:
        self.name = name
        self._labels = labels
        self._lock = threading.Lock()

    def _point(self, values: Labels, *more: tuple[str, str]) -> str:
        pairs = [*zip(self._labels, values, strict=True), *more]
        return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}"

    def lines(self) -> list[str]:
        """Return the metric's part of the page."""
        with self._lock:
            return [f"# TYPE {self.name} {self.kind}", *self._samples()]

    def _samples(self) -> list[str]:
        raise NotImplementedError


class Counter(_Metric):
    """A number that grows."""

    kind = "counter"

    def __init__(self, name: str, *labels: str) -> None:
        super().__init__(name, *labels)
        self._values: dict[Labels, float] = {}

    def add(self, *labels: str, amount: float = 1) -> None:
        """Add to the count of these labels."""
        with self._lock:
            _make_room(self._values, labels)
            self._values[labels] = self._values.get(labels, 0) + amount

    def _samples(self) -> list[str]:
        return [f"{self.name}{self._point(labels)} {_number(value)}" for labels, value in self._values.items()]


class Gauge(_Metric):
    """A number that is read when the page is asked for: ``read`` returns it for each combination of labels."""

    kind = "gauge"

    def __init__(self, name: str, *labels: str, read: Callable[[], dict[Labels, float]] = dict) -> None:
        super().__init__(name, *labels)
        self.read = read

    def _samples(self) -> list[str]:
        return [f"{self.name}{self._point(labels)} {_number(value)}" for labels, value in self.read().items()]


@dataclass
class _Distribution:
    buckets: list[int]
    sum: float = 0.0


class Histogram(_Metric):
    """How values are distributed over buckets, whose upper ``limits`` are given."""

    kind = "histogram"

    def __init__(self, name: str, *labels: str, limits: Sequence[float]) -> None:
        super().__init__(name, *labels)
        self._limits = list(limits)
        self._values: dict[Labels, _Distribution] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count a value."""
        with self._lock:
            if labels not in self._values:
                _make_room(self._values, labels)
                self._values[labels] = _Distribution([0] * (len(self._limits) + 1))
            distribution = self._values[labels]
            distribution.buckets[bisect_left(self._limits, value)] += 1
            distribution.sum += value

    def _samples(self) -> list[str]:
        lines = []
        for labels, distribution in self._values.items():
            count = 0
            for limit, entries in zip([*map(_number, self._limits), "+Inf"], distribution.buckets, strict=True):
                count += entries
                lines.append(f"{self.name}_bucket{self._point(labels, ('le', limit))} {count}")
            lines.append(f"{self.name}_sum{self._point(labels)} {_number(distribution.sum)}")
            lines.append(f"{self.name}_count{self._point(labels)} {count}")
        return lines


def exponential(scale: float, growth: float, count: int) -> list[float]:
    """Return the limits of buckets that widen by a factor."""
    return [scale * growth**power for power in range(count)]


_MICROSECONDS = exponential(10, 1.8, 33)
_COUNTS = exponential(1, 2, 15)
_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
_TFS = ":tensorflow:serving:"
_OURS = "model_server_"


@dataclass
class ServerMetrics:
    """Every metric of the server: TF Serving's by its names and labels, and ours, which tell the version."""

    request_count: Counter = field(default_factory=lambda: Counter(f"{_TFS}request_count", "model_name", "status"))
    request_latency: Histogram = field(
        default_factory=lambda: Histogram(
            f"{_TFS}request_latency", "model_name", "API", "entrypoint", limits=_MICROSECONDS
        )
    )
    runtime_latency: Histogram = field(
        default_factory=lambda: Histogram(
            f"{_TFS}runtime_latency", "model_name", "API", "runtime", limits=_MICROSECONDS
        )
    )
    example_counts: Histogram = field(
        default_factory=lambda: Histogram(f"{_TFS}request_example_counts", "model", limits=_COUNTS)
    )
    example_count_total: Counter = field(default_factory=lambda: Counter(f"{_TFS}request_example_count_total", "model"))
    request_log_count: Counter = field(
        default_factory=lambda: Counter(f"{_TFS}request_log_count", "model_name", "status")
    )
    warmup_latency: Histogram = field(
        default_factory=lambda: Histogram(f"{_TFS}model_warmup_latency", "model_path", "status", limits=_MICROSECONDS)
    )
    warmup_records: Counter = field(
        default_factory=lambda: Counter(f"{_TFS}model_warmup_records_read", "model_path", "status")
    )
    mlmd_map: Gauge = field(default_factory=lambda: Gauge(f"{_TFS}mlmd_map", "model_name", "version"))
    batching_policy: Gauge = field(
        default_factory=lambda: Gauge(f"{_TFS}batching:mixed_priority_batching_policy", "model_name", "op_name")
    )
    padding_size: Histogram = field(
        default_factory=lambda: Histogram(f"{_TFS}batching:padding_size_v2", "model_name", "op_name", limits=_COUNTS)
    )
    processed_batch_size: Counter = field(
        default_factory=lambda: Counter(
            f"{_TFS}batching:processed_batch_size_v2", "model_name", "op_name", "batch_size"
        )
    )
    queuing_latency: Histogram = field(
        default_factory=lambda: Histogram(
            f"{_TFS}batching_session:queuing_latency", "thread_pool_name", limits=_MICROSECONDS
        )
    )
    wrapped_run_count: Counter = field(default_factory=lambda: Counter(f"{_TFS}batching_session:wrapped_run_count"))
    requests: Counter = field(
        default_factory=lambda: Counter(
            f"{_OURS}requests_total", "model_name", "version", "api", "entrypoint", "status"
        )
    )
    request_seconds: Histogram = field(
        default_factory=lambda: Histogram(
            f"{_OURS}request_seconds", "model_name", "version", "api", "entrypoint", limits=_SECONDS
        )
    )
    version_state: Gauge = field(
        default_factory=lambda: Gauge(f"{_OURS}version_state", "model_name", "version", "state")
    )
    load_seconds: Histogram = field(
        default_factory=lambda: Histogram(f"{_OURS}load_seconds", "model_name", "status", limits=_SECONDS)
    )

    def page(self) -> str:
        """Return all of them as Prometheus reads them."""
        return "\n".join(line for metric in vars(self).values() for line in metric.lines()) + "\n"


def _make_room(values: dict[Labels, Any], labels: Labels) -> None:
    if labels not in values and len(values) >= MAX_POINTS:
        del values[next(iter(values))]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
