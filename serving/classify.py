"""Classify: examples to classes and their scores."""

from __future__ import annotations

from scenery import wire
from scenery.wire.tensors import Array
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

METHOD_NAME = "tensorflow/serving/classify"
CLASSES, SCORES = "classes", "scores"


def classify(
    model: SavedModel,
    request: wire.ClassificationRequest,
    timeout_seconds: float | None = None,
    check_method_name: bool = False,
) -> wire.ClassificationResponse:
    """Answer a ``ClassificationRequest``; see :func:`serving.inference.infer`."""
    return infer(model, METHOD, request, wire.ClassificationResponse(), timeout_seconds, check_method_name)


def classification_tensors(signature: wire.SignatureDef, check_method_name: bool) -> tuple[str, list[str]]:
    """Return the names of the input tensor and of the outputs; raises :class:`ServingError`."""
    if check_method_name:
        require_method(signature, "classification", METHOD_NAME)
    input_tensor = find_input(signature, "classification")
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    outputs = [signature.outputs[alias].name for alias in (CLASSES, SCORES) if alias in signature.outputs]
    if not outputs:
        raise invalid_argument(
            "Expected classification signature outputs to contain at least one of "
            f'"{CLASSES}" or "{SCORES}". Signature was: {signature}'
        )
    return input_tensor, outputs


def classification_result(signature: wire.SignatureDef, examples: Examples) -> wire.ClassificationResult:
    """Turn tensors [n, classes] into a result; raises :class:`ServingError` if they are no such."""
    classes = _checked(signature, examples, CLASSES, "string")
    scores = _checked(signature, examples, SCORES, "float")
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    result = wire.ClassificationResult()
    width = next(array.shape[1] for array in (classes, scores) if array is not None)
    for row in range(examples.count):
        classifications = result.classifications.add()
        for column in range(width):
            each = classifications.classes.add()
            if classes is not None:
                each.label = classes[row, column].decode(errors="replace")
            if scores is not None:
                each.score = scores[row, column]
    return result


def _checked(signature: wire.SignatureDef, examples: Examples, alias: str, kind: str) -> Array | None:
    if alias not in signature.outputs:
        return None
    array = examples.tensors[signature.outputs[alias].name]
    if array.ndim != 2:
        raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {debug_shape(array)}")
    require_type(array, kind, alias)
    if len(array) != examples.count:
        raise invalid_argument(f"Expected {alias} output batch size of {examples.count}. Got: {len(array)}")
    return array


METHOD = Method(METHOD_NAME, classification_tensors, classification_result)
