"""MultiInference: several signatures on the same examples, in one run."""

from __future__ import annotations

from scenery import wire
from serving import classify, regress
from serving.errors import ServingError, invalid_argument
from serving.inference import Method, find_signature, run_examples, signature_name
from serving.saved_model import SavedModel

_RESULT_FIELDS = {classify.METHOD: "classification_result", regress.METHOD: "regression_result"}
_METHODS = {method.name: method for method in _RESULT_FIELDS}


def multi_inference(
    model: SavedModel,
    request: wire.MultiInferenceRequest,
    timeout_seconds: float | None = None,
    check_method_name: bool = False,
) -> wire.MultiInferenceResponse:
    """Answer a ``MultiInferenceRequest``; the version of each result is left to the caller.

    Raises
    ------
    ServingError
        If the tasks do not fit together, a signature does not fit its method, or the graph fails.
    """
    _check_tasks(request)
    inputs: set[str] = set()
    outputs: set[str] = set()
    for task in request.tasks:
        signature = find_signature(model, task.model_spec, "Requested signature not found in model graph")
        input_tensor, output_tensors = _method(task).tensors(signature, check_method_name)
        inputs.add(input_tensor)
        outputs.update(output_tensors)
    if len(inputs) != 1:
        raise invalid_argument("Input tensor must be the same for all Signatures.")
    examples = run_examples(model, request.input, inputs.pop(), sorted(outputs), timeout_seconds)
    response = wire.MultiInferenceResponse()
    for task in request.tasks:
        method, name = _method(task), signature_name(task.model_spec)
        answer = response.results.add(model_spec=wire.ModelSpec(name=task.model_spec.name, signature_name=name))
        getattr(answer, _RESULT_FIELDS[method]).CopyFrom(method.result(model.signatures[name], examples))
    return response


def _check_tasks(request: wire.MultiInferenceRequest) -> None:
    names = [task.model_spec.name for task in request.tasks]
    if not all(names):
        raise invalid_argument("Found ModelSpec with an empty model name.")
    if len(set(names)) > 1:
        raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
    seen: set[str] = set()
    for task in request.tasks:
        name = signature_name(task.model_spec)
        if name in seen:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        seen.add(name)


def _method(task: wire.InferenceTask) -> Method:
    if task.method_name not in _METHODS:
        raise ServingError("UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}")
    return _METHODS[task.method_name]
