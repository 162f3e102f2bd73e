"""TF Serving's JSON for Classify and Regress: ``examples``, and a ``context`` they share.

Source: https://www.tensorflow.org/tfx/serving/api_rest#classify_and_regress_api
"""

from __future__ import annotations

import math
from typing import Any

from scenery import wire
from serving.errors import ServingError, invalid_argument
from serving.rest_json import LARGEST_FLOAT, Document, decode_base64, encode, is_base64, json_type, shown

_KINDS = {"int64_list": "int64", "float_list": "float", "bytes_list": "bytes"}


def read_examples(document: Document) -> wire.Input:
    """Turn a document into an ``Input``.

    Raises
    ------
    ServingError
        ``INVALID_ARGUMENT``, saying what is wrong where.
    """
    given = wire.Input()
    examples = given.example_list.examples
    if "context" in document:
        context = _example(document["context"])
        given.example_list_with_context.context.CopyFrom(context)
        examples = given.example_list_with_context.examples
    for value in _listed(document):
        examples.append(_example(value))
    return given


def _listed(document: Document) -> list[Any]:
    if "examples" not in document:
        raise invalid_argument(
            f"JSON Value: {shown(document)} When method is classify, key 'examples' is expected and was not found"
        )
    values = document["examples"]
    if not isinstance(values, list):
        raise invalid_argument(f"JSON Value: {shown(document)} Expecting 'examples' value to be an list/array")
    if not values:
        raise invalid_argument(f"JSON Value: {shown(document)} 'examples' value is an empty array")
    return values


def _example(value: Any) -> wire.Example:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {json_type(value)}")
    example = wire.Example()
    for name, content in value.items():
        feature = example.features.feature[name]
        for element in content if isinstance(content, list) else [content]:
            _add(feature, name, element)
    return example


def _add(feature: wire.Feature, name: str, value: Any) -> None:
    kind, item = _converted(name, value)
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {_KINDS[present]}")
    getattr(feature, kind).value.append(item)


def _converted(name: str, value: Any) -> tuple[str, Any]:
    """Return the list of a feature that takes a value, and what is put there."""
    if isinstance(value, bool):
        return "int64_list", int(value)
    if isinstance(value, str):
        return "bytes_list", encode(value)
    if is_base64(value):
        return "bytes_list", decode_base64(value)
    if isinstance(value, float):
        return "float_list", _float(value)
    if isinstance(value, int):
        return "int64_list", _int64(name, value)
    raise _unexpected(name, value)


def _float(value: float) -> float:
    if math.isfinite(value) and abs(value) > LARGEST_FLOAT:
        raise invalid_argument(f"Cannot convert JSON value: {shown(value)} to float without loss of precision.")
    return value


def _int64(name: str, value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise invalid_argument(f"Feature: {name} has uint64 element. Only int64 is supported.")
    return value


def _unexpected(name: str, value: Any) -> ServingError:
    return invalid_argument(f"Feature: {name} has element with unexpected JSON type: {json_type(value)}")
