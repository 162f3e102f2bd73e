"""A version behind a model server, asked over gRPC in TF Serving's messages, without TensorFlow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from bulk.part import FAILED, Floats
from bulk.scorer import PHOTO_STATUSES, Identity, RefusedError, UnavailableError
from scenery import contract, wire
from scenery.errors import ConfigurationError, ScoringError
from scenery.refusals import refusal_in
from scenery.wire.tensors import to_array, to_proto

_TIMEOUT_SECONDS = 30.0
"""Of a call; then the server counts as unavailable."""

_CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Every address of a name gets its share.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
)

_PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
}
_GONE = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}


@dataclass(frozen=True)
class ServedModel:
    """A version of a servable, by number."""

    address: str
    model_name: str
    version: int

    def identity(self) -> Identity:
        """Ask which model answers under the number."""
        with _channel(self.address) as channel:
            return self.describe(channel).identity

    def open(self) -> ServedScorer:
        """Connect; the channel stays open for as long as the process lives."""
        return ServedScorer(_channel(self.address), self)

    def describe(self, channel: grpc.Channel) -> _Description:
        """Ask what the version says of itself.

        Raises
        ------
        UnavailableError, ScoringError
            If it cannot at the moment, or not at all.
        """
        try:
            return _describe(channel, self.spec())
        except grpc.RpcError as error:
            meaning = self.meaning(error)
            raise self._unfit(error) if isinstance(meaning, RefusedError) else meaning from error

    def spec(self) -> wire.ModelSpec:
        """Return how requests name the version."""
        spec = wire.ModelSpec(name=self.model_name)
        spec.version.value = self.version
        return spec

    def meaning(self, error: grpc.RpcError) -> Exception:
        """Tell whose fault it is that a call failed."""
        code, told = error.code(), error.details() or ""
        received = f"Received: {code.name}: {told}"
        if code in _PASSING:
            return UnavailableError(
                f"The model server at {self.address} does not answer. Start it again, or ask fewer photos at a time "
                f"with --jobs. {received}"
            )
        if code in _GONE:
            return ScoringError(
                f"Version {self.version} of {self.model_name!r} is no longer served at {self.address}. Serve it again, "
                f"or begin another --output with the version that is. {received}"
            )
        if code.value[0] not in PHOTO_STATUSES:
            return self._unfit(error)
        return RefusedError(*(refusal_in(told) or (FAILED, f"The model server failed. {received}")))

    def _unfit(self, error: grpc.RpcError) -> ScoringError:
        return ScoringError(
            f"Version {self.version} of {self.model_name!r} at {self.address} cannot score, whatever the photo. Mend "
            f"the server, or name another with --server, --model-name or --version. Received: {error.code().name}: "
            f"{error.details()}"
        )


class ServedScorer:
    """A channel to the model server."""

    def __init__(self, channel: grpc.Channel, model: ServedModel) -> None:
        description = model.describe(channel)
        self._model = model
        self._predict = _predict(channel)
        self.version = description.version
        self.labels = description.labels
        self.thresholds = description.thresholds

    def score(self, photo: bytes) -> Floats:
        """Return the scores of an encoded photo; see :class:`bulk.scorer.Scorer`."""
        request = wire.PredictRequest(model_spec=self._model.spec())
        request.inputs[contract.INPUT_IMAGE_BYTES].CopyFrom(to_proto(np.array([photo], object)))
        try:
            response = self._predict(request, timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise self._model.meaning(error) from error
        try:
            scores: Floats = to_array(response.outputs[contract.OUTPUT_SCORES]).ravel()
        except ValueError as error:
            raise ScoringError(
                f"Version {self.version} answers without scores. Export it again, or ask for another. Received: {error}"
            ) from error
        return scores


def find_served(address: str, model_name: str, version: int | None, label: str | None) -> ServedModel:
    """Ask a model server which version answers now; a run keeps to that one, whatever is rolled out meanwhile.

    Raises
    ------
    ConfigurationError
        If nobody answers, or serves no such version.
    ScoringError
        If the version does not describe itself.
    """
    spec = wire.ModelSpec(name=model_name)
    if label is not None:
        spec.version_label = label
    elif version is not None:
        spec.version.value = version
    with _channel(address) as channel:
        try:
            return ServedModel(address, model_name, _describe(channel, spec).version)
        except grpc.RpcError as error:
            raise ConfigurationError(
                f"No such model can be asked at {address}. Start a server with `scenery serve`, or name another with "
                f"--server, --model-name, --version or --label. Received: {error.code().name}: {error.details()}"
            ) from error


@dataclass(frozen=True)
class _Description:
    version: int
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    provenance: bytes

    @property
    def identity(self) -> Identity:
        told = repr((self.labels, self.thresholds, self.provenance))
        return Identity(self.version, hashlib.sha256(told.encode()).hexdigest())


def _describe(channel: grpc.Channel, spec: wire.ModelSpec) -> _Description:
    request = wire.PredictRequest(model_spec=spec)
    request.model_spec.signature_name = contract.SIGNATURE_DESCRIBE
    response = _predict(channel)(request, timeout=_TIMEOUT_SECONDS)
    version = response.model_spec.version.value
    try:
        outputs = {name: to_array(tensor) for name, tensor in response.outputs.items()}
        return _Description(
            version,
            tuple(label.decode() for label in outputs[contract.OUTPUT_LABELS].tolist()),
            tuple(map(float, outputs[contract.OUTPUT_THRESHOLDS].tolist())),
            outputs[contract.OUTPUT_PROVENANCE].item(),
        )
    except (KeyError, ValueError, AttributeError) as error:
        raise ScoringError(
            f"Version {version} does not describe itself with labels, thresholds and provenance. Export it again, or "
            f"ask for another. Received: {error!r}"
        ) from error


def _channel(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)


def _predict(channel: grpc.Channel) -> Any:
    return channel.unary_unary(
        f"/{wire.PREDICTION_SERVICE}/Predict",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=wire.PredictResponse.FromString,
    )
