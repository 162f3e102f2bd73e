"""Regress: examples to one number each."""

from __future__ import annotations

from scenery import wire
from serving.errors import invalid_argument
from serving.inference import (
    Examples,
    Method,
    debug_shape,
    find_input,
    infer,
    require_method,
    require_type,
)
from serving.saved_model import SavedModel

METHOD_NAME = "tensorflow/serving/regress"
OUTPUT = "outputs"


def regress(
    model: SavedModel,
    request: wire.RegressionRequest,
    timeout_seconds: float | None = None,
    check_method_name: bool = False,
) -> wire.RegressionResponse:
    """Answer a ``RegressionRequest``; see :func:`serving.inference.infer`."""
    return infer(model, METHOD, request, wire.RegressionResponse(), timeout_seconds, check_method_name)


def regression_tensors(signature: wire.SignatureDef, check_method_name: bool) -> tuple[str, list[str]]:
    """Return the names of the input tensor and of the outputs; raises :class:`ServingError`."""
    if check_method_name:
        require_method(signature, "regression", METHOD_NAME)
    input_tensor = find_input(signature, "regression")
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    if OUTPUT not in signature.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {signature}")
    return input_tensor, [signature.outputs[OUTPUT].name]


def regression_result(signature: wire.SignatureDef, examples: Examples) -> wire.RegressionResult:
    """Turn a tensor [n] or [n, 1] into a result; raises :class:`ServingError` if it is no such."""
    array = examples.tensors[signature.outputs[OUTPUT].name]
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {debug_shape(array)}"
        )
    if len(array) != examples.count:
        raise invalid_argument(f"Input batch size did not match output batch size: {examples.count} vs. {len(array)}")
    require_type(array, "float", "output")
    result = wire.RegressionResult()
    for value in array.ravel():
        result.regressions.add(value=value)
    return result


METHOD = Method(METHOD_NAME, regression_tensors, regression_result)
