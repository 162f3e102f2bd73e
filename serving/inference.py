"""What Classify, Regress and MultiInference have in common: examples in, tensors of a signature out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scenery import wire
from scenery.wire.tensors import Array, type_name
from serving.errors import invalid_argument
from serving.examples import serialized_examples
from serving.saved_model import DEFAULT_SIGNATURE, SavedModel

INPUT = "inputs"
"""The alias of the input that takes serialized examples."""


@dataclass(frozen=True)
class Examples:
    """The outcome of a run on examples."""

    count: int
    tensors: Mapping[str, Array]
    """By the names of the tensors, such as ``scores:0``."""


def run_examples(
    model: SavedModel,
    given: wire.Input,
    input_tensor: str,
    output_tensors: list[str],
    timeout_seconds: float | None = None,
) -> Examples:
    """Feed an ``Input``'s examples to a tensor and compute others; raises :class:`ServingError`."""
    examples = serialized_examples(given)
    arrays = model.runner.run({input_tensor: examples}, output_tensors, timeout_seconds)
    return Examples(len(examples), dict(zip(output_tensors, arrays, strict=True)))


@dataclass(frozen=True)
class Method:
    """What a signature can be asked for by examples: Classify or Regress."""

    name: str
    """Of the method, as signatures name it."""
    tensors: Callable[[wire.SignatureDef, bool], tuple[str, list[str]]]
    """Returns the names of the input tensor and of the outputs; the flag: whether the method's name is checked."""
    result: Callable[[wire.SignatureDef, Examples], Any]
    """Turns the outputs into a message."""


def infer(
    model: SavedModel, method: Method, request: Any, response: Any, timeout_seconds: float | None, check_name: bool
) -> Any:
    """Answer a request into ``response``; its ``model_spec``'s version is left to the caller.

    Raises
    ------
    ServingError
        If the signature does not fit the method, or the graph fails.
    """
    signature = find_signature(model, request.model_spec, "No signature was found with the name")
    input_tensor, outputs = method.tensors(signature, check_name)
    examples = run_examples(model, request.input, input_tensor, outputs, timeout_seconds)
    response.result.CopyFrom(method.result(signature, examples))
    response.model_spec.name = request.model_spec.name
    response.model_spec.signature_name = signature_name(request.model_spec)
    return response


def find_signature(model: SavedModel, spec: wire.ModelSpec, problem: str) -> wire.SignatureDef:
    """Return the signature that a ``ModelSpec`` names; raises :class:`ServingError` if there is none."""
    name = signature_name(spec)
    if name not in model.signatures:
        raise invalid_argument(f"{problem}: {name}")
    return model.signatures[name]


def signature_name(spec: wire.ModelSpec) -> str:
    """Return the name of the signature that is meant."""
    name: str = spec.signature_name or DEFAULT_SIGNATURE
    return name


def find_input(signature: wire.SignatureDef, kind: str) -> str:
    """Return the name of the tensor that takes examples; raises :class:`ServingError` if there is none."""
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if INPUT not in signature.inputs:
        raise invalid_argument(f"No {kind} inputs found in SignatureDef: {signature}")
    name: str = signature.inputs[INPUT].name
    return name


def require_method(signature: wire.SignatureDef, kind: str, method_name: str) -> None:
    """Require the signature's method name; raises :class:`ServingError` otherwise."""
    if signature.method_name != method_name:
        raise invalid_argument(
            f"Expected {kind} signature method_name to be {method_name}. Was: {signature.method_name}"
        )


def require_type(array: Array, expected: str, what: str) -> None:
    """Require a type, such as ``float``; raises :class:`ServingError` otherwise."""
    if type_name(array.dtype) != expected:
        raise invalid_argument(
            f"Expected {what} Tensor of DT_{expected.upper()}. Got: DT_{type_name(array.dtype).upper()}"
        )


def debug_shape(array: Array) -> str:
    """Print a shape as TensorFlow does: ``[2,3]``."""
    return "[" + ",".join(map(str, array.shape)) + "]"
