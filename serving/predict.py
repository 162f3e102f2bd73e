"""Predict: what a request feeds to a signature of a model, and what it gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scenery import wire
from scenery.wire.tensors import Array, to_array, to_proto
from serving.errors import ServingError, invalid_argument
from serving.saved_model import DEFAULT_SIGNATURE, SavedModel


@dataclass(frozen=True)
class Inputs:
    """A request to run a signature, read from whichever wire it came by."""

    signature_name: str
    arrays: dict[str, Array]
    """By the inputs' aliases."""
    outputs: list[str] = field(default_factory=list)
    """The aliases of the outputs wanted; empty for all."""


def predict(model: SavedModel, request: wire.PredictRequest) -> wire.PredictResponse:
    """Answer a ``PredictRequest``; its ``model_spec``'s version is left to the caller.

    Raises
    ------
    ServingError
        If the signature is unknown, an input is missing, unknown or unreadable, an output is
        unknown, or the graph fails.
    """
    inputs = read_request(request, model.signatures)
    return write_response(request, model.run_signature(inputs.signature_name, inputs.arrays, inputs.outputs))


def read_request(request: wire.PredictRequest, signatures: Mapping[str, wire.SignatureDef]) -> Inputs:
    """Check a ``PredictRequest`` against a model's signatures; raises :class:`ServingError`."""
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = signatures.get(name)
    if signature is None:
        raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
    _check_inputs(signature, set(request.inputs))
    outputs = _checked_outputs(signature, list(request.output_filter))
    tensors = {**signature.defaults, **request.inputs}
    return Inputs(name, {alias: _read(alias, tensors[alias]) for alias in tensors}, outputs)


def write_response(
    request: wire.PredictRequest, outputs: Mapping[str, Array], as_content: bool = False
) -> wire.PredictResponse:
    """Write a ``PredictResponse``, its tensors ``as_content`` or in the fields of their types."""
    response = wire.PredictResponse()
    for alias, array in outputs.items():
        response.outputs[alias].CopyFrom(to_proto(array, as_content))
    response.model_spec.name = request.model_spec.name
    response.model_spec.signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    return response


def _check_inputs(signature: wire.SignatureDef, given: set[str]) -> None:
    """Require the signature's inputs, but for those with a default; raises :class:`ServingError` otherwise."""
    expected, defaults = set(signature.inputs), set(signature.defaults)
    if len(given) > len(expected) or len(given | defaults) < len(expected):
        raise invalid_argument(
            f"input size does not match signature: {len(given)}!={len(expected)} len({_names(given)}) != "
            f"len({_names(expected)}). Sent extra: {_names(given - expected)}. "
            f"Missing but required: {_names(expected - given)}."
        )
    for alias in sorted(expected - given - defaults):
        raise invalid_argument(
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in request and "
            f"no default value provided. Inputs expected to be in the request {_names(given)}, "
            f"or default input alias set: {','.join(sorted(defaults))}"
        )
    for alias in sorted(given - expected):
        raise invalid_argument(f"input tensor alias not found in signature: {alias}")


def _checked_outputs(signature: wire.SignatureDef, wanted: list[str]) -> list[str]:
    for place, alias in enumerate(wanted):
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_names(set(signature.outputs))}."
            )
        if alias in wanted[:place]:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
    return wanted


def _read(alias: str, tensor: wire.TensorProto) -> Array:
    try:
        return to_array(tensor)
    except (ValueError, MemoryError) as error:
        raise invalid_argument(f"tensor parsing error: {alias}") from error


def _names(aliases: set[str]) -> str:
    return "{" + ",".join(sorted(aliases)) + "}"
