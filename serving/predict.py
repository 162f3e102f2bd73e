"""Predict: a ``PredictRequest`` run on a loaded model, whichever wire it came by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scenery import wire
from scenery.wire.tensors import Array, to_array, to_proto
from serving.errors import ServingError, invalid_argument
from serving.saved_model import DEFAULT_SIGNATURE, SavedModel


def predict(model: SavedModel, request: wire.PredictRequest) -> wire.PredictResponse:
    """Answer a ``PredictRequest``; its ``model_spec``'s version is left to the caller.

    Raises
    ------
    ServingError
        If the signature is unknown, an input is missing, unknown or unreadable, an output is
        unknown, or the graph fails.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = model.signatures.get(name)
    if signature is None:
        raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
    _check_inputs(signature, set(request.inputs))
    wanted = _checked_outputs(signature, list(request.output_filter))
    inputs = {alias: _read(alias, request.inputs[alias]) for alias in request.inputs}
    response = wire.PredictResponse()
    for alias, array in run_signature(model, name, inputs, wanted).items():
        response.outputs[alias].CopyFrom(_write(array))
    response.model_spec.name = request.model_spec.name
    response.model_spec.signature_name = name
    return response


def run_signature(
    model: SavedModel, name: str, inputs: Mapping[str, Array], wanted: Sequence[str] = ()
) -> dict[str, Array]:
    """Run one of the model's signatures for the ``wanted`` outputs, or all; what both wires come down to.

    Raises
    ------
    ServingError
        With TensorFlow's own code and message.
    """
    return model.run(name, inputs, wanted or sorted(model.signatures[name].outputs))


def _check_inputs(signature: wire.SignatureDef, given: set[str]) -> None:
    """Require exactly the signature's inputs; raises :class:`ServingError` otherwise."""
    expected = set(signature.inputs)
    if len(given) != len(expected):
        raise invalid_argument(
            f"input size does not match signature: {len(given)}!={len(expected)} len({_names(given)}) != "
            f"len({_names(expected)}). Sent extra: {_names(given - expected)}. "
            f"Missing but required: {_names(expected - given)}."
        )
    for alias in sorted(expected - given):
        raise invalid_argument(
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in request and "
            f"no default value provided. Inputs expected to be in the request {_names(given)}, "
            "or default input alias set: "
        )


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


def _write(array: Array) -> wire.TensorProto:
    try:
        return to_proto(array)
    except ValueError as error:
        raise ServingError("UNIMPLEMENTED", str(error)) from error


def _names(aliases: set[str]) -> str:
    return "{" + ",".join(sorted(aliases)) + "}"
