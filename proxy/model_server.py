"""The model server, as the proxy sees it: gRPC calls in TF Serving's API, without TensorFlow."""

from __future__ import annotations

import array
import math
import re
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import grpc
from flask import current_app

from proxy.labels import Description, Labelling, label_scores
from proxy.problems import ProblemError
from scenery import contract, wire

REMEMBERED_SECONDS = 5.0
"""A version never changes, but somebody may put another model under its number."""

MODEL_NOT_SERVED = "model-not-served"

_UNKNOWN_LABEL = "Unrecognized servable version label"
_REFUSAL = re.compile(rf"{contract.REFUSED}: ([a-z-]+): ([^\]\n]*)")
_REFUSAL_STATUSES = {
    contract.REFUSED_EMPTY: HTTPStatus.BAD_REQUEST,
    contract.REFUSED_FORMAT: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    contract.REFUSED_PIXELS: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    contract.REFUSED_DAMAGED: HTTPStatus.UNPROCESSABLE_ENTITY,
}
_DT_STRING = wire.enum_values("tensorflow.DataType")["DT_STRING"]
_DECODER = re.compile(r"\{\{node [^}]*[Dd]ecode[^}]*\}\}")
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # The model server is a neighbour: found again within a second of its return, never behind a web proxy.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
]


@dataclass
class Call:
    """A photo that was sent, and when. The answer's time is taken as it comes, not as somebody asks for it."""

    label: str | None
    """The label of the version that was asked; None for the latest."""
    future: Any
    sent_at: float
    answered_at: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.future.add_done_callback(self._done)

    def _done(self, _: Any) -> None:
        self.answered_at = time.monotonic()


@dataclass(frozen=True)
class Scored:
    """A photo's scores and the version that gave them."""

    version: int
    scores: tuple[float, ...]
    seconds: float
    """From sending the photo until its answer was read."""


class ModelServer:
    """One channel to a model server. Threads share it; make it after a fork, never before."""

    def __init__(self, address: str, model_name: str, timeout_seconds: float) -> None:
        self.model_name = model_name
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._channel = grpc.insecure_channel(address, _OPTIONS)
        self._predict = self._channel.unary_unary(
            f"/{wire.PREDICTION_SERVICE}/Predict",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=wire.PredictResponse.FromString,
        )
        self._descriptions: dict[int, tuple[float, Description]] = {}

    def classify(self, photo: bytes, label: str | None = None) -> Call:
        """Start to score an encoded photo by a label's version, or the latest; :meth:`scored` waits for the answer."""
        request = self._request(contract.SIGNATURE_CLASSIFY)
        if label is not None:
            request.model_spec.version_label = label
        tensor = request.inputs[contract.INPUT_IMAGE_BYTES]
        tensor.dtype = _DT_STRING
        tensor.tensor_shape.dim.add(size=1)
        tensor.string_val.append(photo)
        sent_at = time.monotonic()
        return Call(label, self._predict.future(request, timeout=self._timeout_seconds), sent_at)

    def scored(self, call: Call) -> Scored:
        """Wait for :meth:`classify`.

        Raises
        ------
        ProblemError
            If the model refused the photo or the model server could not answer.
        """
        response = self._answer(call.future)
        seconds = (call.answered_at or time.monotonic()) - call.sent_at
        scores = response.outputs[contract.OUTPUT_SCORES]
        return Scored(response.model_spec.version.value, tuple(_floats(scores)), seconds)

    def labelling(self, scored: Scored) -> Labelling:
        """Name scores as their version describes them.

        Raises
        ------
        ProblemError
            If the version cannot be asked, or describes more or fewer labels than it gave scores.
        """
        description = self.describe(scored.version)
        if len(description.labels) != len(scored.scores):
            description = self.describe(scored.version, refresh=True)
        counts = (len(scored.scores), len(description.labels), len(description.thresholds))
        if len(set(counts)) > 1 or not scored.scores or not all(map(math.isfinite, scored.scores)):
            raise ProblemError(
                HTTPStatus.BAD_GATEWAY,
                "model-server-failed",
                f"Version {scored.version} gave {counts[0]} scores, not all of them numbers perhaps, and describes "
                f"{counts[1]} labels and {counts[2]} thresholds. Take it back and export it again.",
            )
        return label_scores(description, scored.scores)

    def describe(self, version: int, refresh: bool = False) -> Description:
        """Return what a version says of itself; remembered for some seconds, unless to ``refresh``.

        Raises
        ------
        ProblemError
            If the model server could not answer.
        """
        asked_at, description = self._descriptions.get(version, (-math.inf, None))
        if refresh or description is None or time.monotonic() - asked_at > REMEMBERED_SECONDS:
            request = self._request(contract.SIGNATURE_DESCRIBE)
            request.model_spec.version.value = version
            outputs = self._answer(self._predict.future(request, timeout=self._timeout_seconds)).outputs
            description = Description(
                labels=tuple(label.decode() for label in outputs[contract.OUTPUT_LABELS].string_val),
                thresholds=tuple(_floats(outputs[contract.OUTPUT_THRESHOLDS])),
            )
            self._descriptions[version] = time.monotonic(), description
        return description

    def _request(self, signature: str) -> Any:
        request = wire.PredictRequest()
        request.model_spec.name = self.model_name
        request.model_spec.signature_name = signature
        return request

    def _answer(self, call: Any) -> Any:
        try:
            return call.result()
        except grpc.RpcError as error:
            raise self._problem(call.code(), call.details() or "") from error

    def _problem(self, code: grpc.StatusCode, details: str) -> ProblemError:
        if code is grpc.StatusCode.INVALID_ARGUMENT and (problem := _photo_problem(details)):
            return problem
        if code is grpc.StatusCode.UNAVAILABLE:
            detail = (
                f"The model server at {self._address} cannot be reached. Start it, or correct SCENERY_MODEL_SERVER."
            )
            return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "model-server-unavailable", detail)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            detail = "The model server has more requests than it can take. Try again in a moment."
            return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", detail)
        if code is grpc.StatusCode.NOT_FOUND or details.startswith(_UNKNOWN_LABEL):
            detail = f"The model server serves no such version of {self.model_name!r} now: {details}"
            return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, MODEL_NOT_SERVED, detail)
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            detail = (
                f"The model server did not answer within {self._timeout_seconds:g} s. Try again, "
                "or raise SCENERY_TIMEOUT_SECONDS."
            )
            return ProblemError(HTTPStatus.GATEWAY_TIMEOUT, "deadline-exceeded", detail)
        detail = f"The model server failed with {code.name}: {details}"
        return ProblemError(HTTPStatus.BAD_GATEWAY, "model-server-failed", detail)


def model_server() -> ModelServer:
    """Return the running application's model server."""
    server: ModelServer = current_app.extensions["model_server"]
    return server


def _photo_problem(details: str) -> ProblemError | None:
    """Tell why a model refused a photo: in its own words, or as a decoder's failure; None if it did not."""
    match = _REFUSAL.search(details)
    if match and match[1] in _REFUSAL_STATUSES:
        sentence = match[2][:1].upper() + match[2][1:] + "."
        return ProblemError(_REFUSAL_STATUSES[match[1]], match[1], sentence)
    if _DECODER.search(details):
        detail = "The photo cannot be decoded: the file is cut off or damaged. Send the whole file."
        return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, contract.REFUSED_DAMAGED, detail)
    return None


def _floats(tensor: Any) -> list[float]:
    """Read a float32 tensor from whichever of its two fields the server used."""
    if tensor.tensor_content:
        return array.array("f", tensor.tensor_content).tolist()
    return list(tensor.float_val)
