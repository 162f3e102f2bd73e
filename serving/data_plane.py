"""What the server answers, whichever wire asks. The wires translate; they decide nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scenery import wire
from scenery.wire.tensors import Array
from serving.classify import classify
from serving.core import GiveUp, ServerCore
from serving.errors import ServingError, invalid_argument
from serving.metrics import ServerMetrics
from serving.multi_inference import multi_inference
from serving.predict import Inputs, read_request, write_response
from serving.regress import regress
from serving.saved_model import SavedModel

SIGNATURE_DEF = "signature_def"

_RUNTIME = "TF1"
"""What TF Serving calls running a Session, in its metrics."""

_LONGEST_SECONDS = 86_400.0
"""gRPC tells of a call without a deadline that it has centuries left."""

ReadInputs = Callable[[Mapping[str, wire.SignatureDef]], Inputs]
"""Reads a request for a model with these signatures; may raise :class:`ServingError`."""


@dataclass(frozen=True)
class Call:
    """How a request came, and until when its answer is of use."""

    entrypoint: str
    """``GRPC`` or ``REST``."""
    deadline: float | None = None
    """In terms of :func:`time.monotonic`; None for no deadline."""

    @classmethod
    def within(cls, entrypoint: str, seconds: float | None) -> Call:
        """Return a call that has this many seconds left; None, or more than a day, for all the time in the world."""
        endless = seconds is None or seconds > _LONGEST_SECONDS
        return cls(entrypoint, None if endless else time.monotonic() + (seconds or 0))

    def timeout_seconds(self) -> float | None:
        """Return how much time is left.

        Raises
        ------
        ServingError
            ``DEADLINE_EXCEEDED`` if none is: expired work is not started.
        """
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ServingError("DEADLINE_EXCEEDED", "Timed out waiting for notification")
        return left


class DataPlane:
    """Answers requests in TF Serving's messages; raises :class:`ServingError` where it cannot."""

    def __init__(
        self,
        core: ServerCore,
        metrics: ServerMetrics,
        check_method_name: bool = False,
        answer_as_content: bool = False,
    ) -> None:
        self._core = core
        self.metrics = metrics
        self._check_method_name = check_method_name
        self._answer_as_content = answer_as_content

    def run(self, spec: wire.ModelSpec, read: ReadInputs, call: Call) -> tuple[int, dict[str, Array]]:
        """Run a signature; returns the version that answered and an array for each output."""
        with self._request("Predict", spec, call) as (version, model):
            inputs = read(model.signatures)
            self._count_examples(spec.name, _batch_size(inputs))
            with self._running(spec.name, "Predict"):
                outputs = model.run_signature(
                    inputs.signature_name, inputs.arrays, inputs.outputs, call.timeout_seconds()
                )
            return version, outputs

    def predict(self, request: wire.PredictRequest, call: Call) -> wire.PredictResponse:
        """Run a signature of a model."""
        _require_spec(request)
        version, outputs = self.run(request.model_spec, lambda signatures: read_request(request, signatures), call)
        try:
            response = write_response(request, outputs, self._answer_as_content)
        except ValueError as error:
            raise ServingError("UNIMPLEMENTED", str(error)) from error
        response.model_spec.version.value = version
        return response

    def classify(self, request: wire.ClassificationRequest, call: Call) -> wire.ClassificationResponse:
        """Sort examples into classes."""
        return self._infer("Classify", classify, request, call)

    def regress(self, request: wire.RegressionRequest, call: Call) -> wire.RegressionResponse:
        """Give examples a number each."""
        return self._infer("Regress", regress, request, call)

    def multi_inference(self, request: wire.MultiInferenceRequest, call: Call) -> wire.MultiInferenceResponse:
        """Run several signatures on the same examples."""
        spec = request.tasks[0].model_spec if request.tasks else wire.ModelSpec()
        with (
            self._request("MultiInference", spec, call) as (version, model),
            self._running(spec.name, "MultiInference"),
        ):
            response = multi_inference(model, request, call.timeout_seconds(), self._check_method_name)
        for result in response.results:
            result.model_spec.version.value = version
        first = response.results[0]
        self._count_examples(spec.name, _result_count(getattr(first, first.WhichOneof("result"))))
        return response

    def model_status(self, request: wire.GetModelStatusRequest, _: Call | None = None) -> wire.GetModelStatusResponse:
        """Tell the state of a model's versions."""
        _require_spec(request)
        response = wire.GetModelStatusResponse()
        codes = wire.enum_values("tensorflow.error.Code")
        for state in self._core.states(request.model_spec):
            status = response.model_version_status.add(version=state.id.version, state=state.state.value)
            status.status.SetInParent()
            if state.error is not None:
                status.status.error_code = codes[state.error.code]
                status.status.error_message = state.error.message
        return response

    def model_metadata(
        self, request: wire.GetModelMetadataRequest, _: Call | None = None
    ) -> wire.GetModelMetadataResponse:
        """Tell a model's signatures."""
        _require_spec(request)
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid_argument(f"Metadata field {field} is not supported")
        signatures = wire.SignatureDefMap()
        with self._core.servable(request.model_spec) as (version, model):
            for name, signature in model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response = wire.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response

    def reload_config(self, request: wire.ReloadConfigRequest, give_up: GiveUp) -> wire.ReloadConfigResponse:
        """Serve another list of models; see :meth:`ServerCore.reload`."""
        self._core.reload(request.config, give_up)
        response = wire.ReloadConfigResponse()
        response.status.SetInParent()
        return response

    def _infer(self, api: str, answer: Callable[..., Any], request: Any, call: Call) -> Any:
        _require_spec(request)
        name = request.model_spec.name
        with self._request(api, request.model_spec, call) as (version, model), self._running(name, api):
            response = answer(model, request, call.timeout_seconds(), self._check_method_name)
        self._count_examples(name, _result_count(response.result))
        response.model_spec.version.value = version
        return response

    @contextmanager
    def _request(self, api: str, spec: wire.ModelSpec, call: Call) -> Iterator[tuple[int, SavedModel]]:
        """Hold a version for a request, and count the request."""
        started = time.perf_counter()
        status, version = "OK", ""
        try:
            with self._core.servable(spec) as (number, model):
                version = str(number)
                yield number, model
        except ServingError as error:
            status = error.code
            raise
        except Exception:
            status = "INTERNAL"
            raise
        finally:
            self._count_request(api, spec.name, version, call.entrypoint, status, time.perf_counter() - started)

    def _count_request(self, api: str, name: str, version: str, entrypoint: str, status: str, seconds: float) -> None:
        known = name if version or self._core.knows(name) else ""
        self.metrics.request_count.add(known, status)
        self.metrics.requests.add(known, version, api, entrypoint, status)
        if status == "OK":
            self.metrics.request_latency.observe(seconds * 1e6, known, api, entrypoint)
            self.metrics.request_seconds.observe(seconds, known, version, api, entrypoint)

    def _count_examples(self, name: str, count: int) -> None:
        self.metrics.example_counts.observe(count, name)
        self.metrics.example_count_total.add(name, amount=count)

    @contextmanager
    def _running(self, name: str, api: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.metrics.runtime_latency.observe((time.perf_counter() - started) * 1e6, name, api, _RUNTIME)


def _batch_size(inputs: Inputs) -> int:
    return max((len(array) if array.ndim else 1 for array in inputs.arrays.values()), default=0)


def _result_count(result: wire.ClassificationResult | wire.RegressionResult) -> int:
    """Return for how many examples there is a result."""
    return max(len(values) for _, values in result.ListFields())


def _require_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
