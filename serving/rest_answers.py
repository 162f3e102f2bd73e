"""TF Serving's JSON answers, byte for byte: arrays and results to texts."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from scenery import wire
from scenery.wire.tensors import Array, type_name
from serving.errors import invalid_argument
from serving.json_text import Node, enclose, float_texts, layout, quoted

_BYTES_SUFFIX = "_bytes"
_WHOLE = ("int32", "int16", "int8", "uint8", "int64", "uint32", "uint64")


def predictions(outputs: Mapping[str, Array]) -> str:
    """Write outputs, each of shape [n, …], by row.

    Raises
    ------
    ServingError
        ``INVALID_ARGUMENT`` if an output has no batch dimension, or another than the others, or a
        type that JSON has not.
    """
    _require_batch(outputs)
    columns = {alias: _nodes(alias, array) for alias, array in outputs.items()}
    if len(columns) == 1:
        return _document("predictions", _rows([layout(node, 2) for node in next(iter(columns.values()))]))
    objects = [
        enclose("{}", [f"{quoted(alias)}: {layout(node, 3)}" for alias, node in zip(columns, row, strict=True)], 2)
        for row in zip(*columns.values(), strict=True)
    ]
    return _document("predictions", enclose("[]", objects, 1))


def columns(outputs: Mapping[str, Array]) -> str:
    """Write outputs by column: the only one as it is, several in an object; raises :class:`ServingError`."""
    nodes = {alias: _nodes(alias, array) for alias, array in outputs.items()}
    node = next(iter(nodes.values())) if len(nodes) == 1 else nodes
    return _document("outputs", layout(node, 1, arrays_in_one_line=False))


def classifications(result: wire.ClassificationResult) -> str:
    """Write the classes and scores of each example."""
    rows = []
    for each in result.classifications:
        scores = float_texts(np.array([found.score for found in each.classes], np.float32))
        rows.append(
            layout([[quoted(found.label), score] for found, score in zip(each.classes, scores, strict=True)], 2)
        )
    return _document("results", _rows(rows))


def regressions(result: wire.RegressionResult) -> str:
    """Write the number of each example."""
    values = float_texts(np.array([each.value for each in result.regressions], np.float32))
    return _document("results", layout(values))


def error(message: str) -> str:
    """Write an error."""
    return _document("error", quoted(message))


def _document(key: str, text: str) -> str:
    return enclose("{}", [f"{quoted(key)}: {text}"], 0)


def _rows(texts: list[str]) -> str:
    """Put rows in one line, but for the bracket behind them: so does TF Serving."""
    return "[" + ", ".join(texts) + "\n    ]"


def _require_batch(outputs: Mapping[str, Array]) -> None:
    expected: int | None = None
    for alias, array in outputs.items():
        if not array.ndim:
            raise invalid_argument(f"Tensor name: {alias} has no shape information ")
        if not len(array):
            raise invalid_argument(f"Tensor name: {alias} has invalid batch size: 0")
        if expected is not None and len(array) != expected:
            raise invalid_argument(
                f"Tensor name: {alias} has inconsistent batch size: {len(array)} expecting: {expected}"
            )
        expected = len(array)


def _nodes(alias: str, array: Array) -> Any:
    """Return an array's values as a node, nested as its shape is."""
    return _nested(_leaves(alias, array), array.shape)


def _leaves(alias: str, array: Array) -> list[Node]:
    flat, name = array.ravel(), type_name(array.dtype)
    if name == "string" and alias.endswith(_BYTES_SUFFIX):
        return [{"b64": quoted(base64.b64encode(value).decode())} for value in flat]
    if name == "string":
        return [quoted(value.decode(errors="replace")) for value in flat]
    if name in ("float", "double"):
        return float_texts(flat)
    if name == "bool":
        return ["true" if value else "false" for value in flat]
    if name in _WHOLE:
        return list(map(str, flat.tolist()))
    raise invalid_argument(f"Failed to write JSON value for tensor type: {name}")


def _nested(leaves: list[Node], shape: tuple[int, ...]) -> Any:
    if not shape:
        return leaves[0]
    if len(shape) == 1:
        return leaves
    step = len(leaves) // shape[0] if shape[0] else 0
    return [_nested(leaves[place * step : (place + 1) * step], shape[1:]) for place in range(shape[0])]
