"""Model servers, by their public API: the states of versions, and which version a label means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from scenery import wire
from scenery.errors import RolloutError

TIMEOUT_SECONDS = 5.0
_STATES = {number: name for name, number in wire.enum_values("tensorflow.serving.ModelVersionStatus.State").items()}
AVAILABLE = "AVAILABLE"
END = "END"


@dataclass(frozen=True)
class VersionState:
    """The state of a version, and why it ended if it failed."""

    state: str
    error: str = ""


class ModelServer:
    """One model of one server; it is asked anew each time."""

    def __init__(self, address: str, model_name: str) -> None:
        self.address = address
        self.model_name = model_name
        self._channel = grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)])

    def states(self) -> dict[int, VersionState]:
        """Return the state of each version that the server knows of, highest first.

        Raises
        ------
        RolloutError
            If the server does not answer.
        """
        request = wire.GetModelStatusRequest(model_spec=wire.ModelSpec(name=self.model_name))
        try:
            response = self._call(wire.MODEL_SERVICE, "GetModelStatus", request, wire.GetModelStatusResponse)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return {}
            raise self._unreachable(error) from error
        return {
            each.version: VersionState(_STATES[each.state], each.status.error_message)
            for each in response.model_version_status
        }

    def available(self) -> list[int]:
        """Return the versions that answer, lowest first; raises :class:`RolloutError` if the server does not."""
        return sorted(version for version, each in self.states().items() if each.state == AVAILABLE)

    def labelled(self, label: str) -> int | None:
        """Return the version that answers for a label, or None; raises :class:`RolloutError` if the server does not."""
        request = wire.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name, request.model_spec.version_label = self.model_name, label
        try:
            response = self._call(wire.PREDICTION_SERVICE, "GetModelMetadata", request, wire.GetModelMetadataResponse)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT):
                return None
            raise self._unreachable(error) from error
        version: int = response.model_spec.version.value
        return version

    def _call(self, service: str, method: str, request: Any, response_class: Any) -> Any:
        call = self._channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_class.FromString,
        )
        return call(request, timeout=TIMEOUT_SECONDS)

    def _unreachable(self, error: Any) -> RolloutError:
        return RolloutError(
            f"The model server at {self.address} does not answer ({error.code().name}: {error.details()}). "
            "Start it, or name it with --model-server."
        )


class ModelServers:
    """The servers that read one ``serving.config``: a rollout has done a step when all of them have."""

    def __init__(self, addresses: Sequence[str], model_name: str) -> None:
        self.each = [ModelServer(address, model_name) for address in addresses]

    def __str__(self) -> str:
        """Return their addresses."""
        return ", ".join(server.address for server in self.each)

    def available(self) -> list[int]:
        """Return the versions that answer on every server, lowest first; raises as a single one does."""
        return sorted(set.intersection(*(set(server.available()) for server in self.each)))

    def means(self, label: str, version: int | None) -> bool:
        """Return whether a label means a version, None for no version, on every server; raises likewise."""
        return all(server.labelled(label) == version for server in self.each)
