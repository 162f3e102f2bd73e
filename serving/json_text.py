"""JSON as TF Serving writes it: its layout, and its spelling of numbers.

A text is put together from nodes: a ``str`` is a finished value, a ``list`` an array, a ``dict``
an object. Objects have their members on lines of their own; arrays have their elements so only
where a caller asks for it.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np

from scenery.wire.tensors import Array

Node = Any
"""``str | list[Node] | dict[str, Node]``"""

_INDENT = "    "
_LARGEST_UINT64 = 2**64 - 1
_SMALLEST_INT64 = -(2**63)
_PLAIN_DIGITS = 21
"""Numbers of more digits before the point are written with an exponent, in texts of requests."""
_PLAIN_ZEROS = 6


def layout(node: Node, depth: int = 0, arrays_in_one_line: bool = True) -> str:
    """Return the text of a node whose braces stand ``depth`` levels deep."""
    if isinstance(node, str):
        return node
    children = node.values() if isinstance(node, dict) else node
    texts = [layout(child, depth + 1, arrays_in_one_line) for child in children]
    if isinstance(node, dict):
        return enclose("{}", [f"{quoted(key)}: {text}" for key, text in zip(node, texts, strict=True)], depth)
    if arrays_in_one_line:
        return "[" + ", ".join(texts) + "]"
    return enclose("[]", texts, depth)


def enclose(brackets: str, texts: list[str], depth: int) -> str:
    """Put texts into brackets, each on a line of its own."""
    if not texts:
        return brackets
    inner = "\n" + _INDENT * (depth + 1)
    outer = "\n" + _INDENT * depth
    return brackets[0] + inner + f",{inner}".join(texts) + outer + brackets[1]


def quoted(text: str) -> str:
    """Return a string's JSON."""
    return json.dumps(text, ensure_ascii=False)


def request_node(value: Any) -> Node:
    """Return the node of a value that was parsed from JSON, to be shown in an error."""
    if isinstance(value, dict):
        return {key: request_node(member) for key, member in value.items()}
    if isinstance(value, list):
        return [request_node(element) for element in value]
    if isinstance(value, float):
        return _request_float(value)
    if type(value) is int and not _SMALLEST_INT64 <= value <= _LARGEST_UINT64:
        return _request_float(float(value))
    return json.dumps(value, ensure_ascii=False)


def _request_float(value: float) -> str:
    """Spell a number as RapidJSON does: the shortest digits, plain between 1e-6 and 1e21."""
    if not np.isfinite(value):
        return _special(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text, point = "".join(map(str, digits)), len(digits) + int(exponent)
    minus = "-" if sign else ""
    if text == "0":
        return f"{minus}0.0"
    if len(text) <= point <= _PLAIN_DIGITS:
        return f"{minus}{text}{'0' * (point - len(text))}.0"
    if 0 < point <= _PLAIN_DIGITS:
        return f"{minus}{text[:point]}.{text[point:]}"
    if -_PLAIN_ZEROS < point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    return f"{minus}{text[0]}{'.' if text[1:] else ''}{text[1:]}e{point - 1}"


def float_texts(flat: Array) -> list[str]:
    """Spell float32 or float64 numbers of shape [n] as TF Serving does in answers.

    Six digits if they tell the number, else as many as its type needs; ``.0`` for whole numbers.
    """
    precision = 9 if flat.dtype == np.float32 else 17
    values = flat.tolist()
    texts = [f"{value:.6g}" for value in values]
    inexact = np.array(list(map(float, texts)), np.float64).astype(flat.dtype) != flat
    for place in np.flatnonzero(inexact):
        value = values[place]
        texts[place] = f"{value:.{precision}g}" if np.isfinite(value) else _special(value)
    for place in np.flatnonzero(np.isinf(flat)):
        texts[place] = _special(values[place])
    return [text if any(mark in text for mark in ".enN") else f"{text}.0" for text in texts]


def _special(value: float) -> str:
    if np.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
