"""How runs are merged."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from scenery import wire
from serving.errors import invalid_argument

_WRAPPED = (
    *("max_batch_size", "max_enqueued_batches", "num_batch_threads"),
    *("enable_large_batch_splitting", "max_execution_batch_size"),
)
"""Parameters that may be absent, which is not the same as zero."""


@dataclass(frozen=True)
class BatchingOptions:
    """How runs are merged; the names and defaults of TensorFlow Serving's ``BatchingParameters``."""

    max_batch_size: int = 1000
    """The most rows of one call, and, without splitting, of one run."""
    batch_timeout_seconds: float = 0.0
    """How long a batch that is not full waits for more tasks; 0: no longer than until a thread is free."""
    max_enqueued_batches: int = 10
    """How many batches may wait in a queue before calls are refused; 0 counts as 1."""
    num_batch_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    allowed_batch_sizes: tuple[int, ...] = ()
    """To which sizes runs are padded, ascending; empty: none is padded."""
    pad_variable_length_inputs: bool = False
    """Merge calls whose dimensions other than the 0th differ; the shorter are padded with zeros at the end."""
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0
    """With splitting, the most rows of one run; 0: ``max_batch_size``."""

    @classmethod
    def from_proto(cls, parameters: wire.BatchingParameters) -> BatchingOptions:
        """Read the message; what it leaves out keeps its default."""
        given: dict[str, Any] = {
            name: getattr(parameters, name).value for name in _WRAPPED if parameters.HasField(name)
        }
        return cls(
            **given,
            batch_timeout_seconds=parameters.batch_timeout_micros.value / 1e6,
            allowed_batch_sizes=tuple(parameters.allowed_batch_sizes),
            pad_variable_length_inputs=parameters.pad_variable_length_inputs,
        )

    @property
    def max_run_size(self) -> int:
        """The most rows of one run."""
        return (self.enable_large_batch_splitting and self.max_execution_batch_size) or self.max_batch_size

    def padded_size(self, rows: int) -> int:
        """Return how many rows are run for ``rows`` rows of tasks."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)

    def check(self) -> None:
        """Raise :class:`ServingError` if the options make no sense."""
        positive = {name: getattr(self, name) for name in ("max_batch_size", "num_batch_threads")}
        natural = {name: getattr(self, name) for name in ("max_enqueued_batches", "max_execution_batch_size")}
        natural["batch_timeout_micros"] = round(self.batch_timeout_seconds * 1e6)
        for numbers, least, kind in ((positive, 1, "positive"), (natural, 0, "non-negative")):
            for name, number in numbers.items():
                if number < least:
                    raise invalid_argument(f"{name} must be {kind}; was {number}")
        if self.max_run_size > self.max_batch_size:
            raise invalid_argument(
                "When enable_large_batch_splitting is true, max_batch_size must be greater than or equal to "
                f"max_execution_batch_size; were {self.max_batch_size} and {self.max_execution_batch_size}"
            )
        self._check_allowed_sizes()

    def _check_allowed_sizes(self) -> None:
        sizes = self.allowed_batch_sizes
        if any(size >= following for size, following in pairwise(sizes)):
            raise invalid_argument("allowed_batch_sizes entries must be monotonically increasing")
        if sizes and sizes[-1] != self.max_run_size:
            limit = "max_execution_batch_size" if self.enable_large_batch_splitting else "max_batch_size"
            raise invalid_argument(
                f"Last entry in allowed_batch_sizes must match {limit}; "
                f"last entry was {sizes[-1]}; expected {self.max_run_size}"
            )
