"""TF Serving's JSON requests: documents, and the tensors in them.

The row format sends ``instances``, a list of examples; the columnar format sends ``inputs``, a
tensor or an object of tensors. Strings are texts, or ``{"b64": "…"}`` for bytes.
Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np

from scenery import wire
from scenery.wire.tensors import Array, dtype_of, type_name
from serving.errors import ServingError, invalid_argument
from serving.json_errors import explain
from serving.json_text import layout, request_node
from serving.predict import Inputs
from serving.saved_model import DEFAULT_SIGNATURE

MAX_RANK = 64
"""NumPy's limit; TensorFlow's is 254."""
MAX_ECHO = 1000
"""How much of a wrong value an error repeats, in characters."""

Document = dict[str, Any]

_INT32 = range(-(2**31), 2**31)
_RANGES = {
    "int8": _INT32,
    "int16": _INT32,
    "uint8": _INT32,
    "int32": _INT32,
    "int64": range(-(2**63), 2**63),
    "uint32": range(2**32),
    "uint64": range(2**64),
}
"""Which whole numbers are taken for a type. The small types take what their field in a message does."""
LARGEST_FLOAT = 3.4028235677973362e38
"""The largest double that is a finite number as a float32, too."""
_LARGEST = {"float": LARGEST_FLOAT, "double": float(np.finfo(np.float64).max)}


def parse_document(body: bytes) -> Document:
    """Parse the body of a request.

    Raises
    ------
    ServingError
        ``INVALID_ARGUMENT`` if it is no JSON object, or its ``signature_name`` no string.
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    if not body.strip():
        raise invalid_argument(f"JSON Parse error: The document is empty. at offset: {len(body)}")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid_argument(f"JSON Parse error: {explain(body, error)}") from error
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {shown(document)} Is not object")
    if isinstance(name := document.get("signature_name", ""), str):
        encode(name)
    else:
        raise invalid_argument(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return document


def is_row_format(document: Document) -> bool:
    """Return whether a document of ``:predict`` is in row format; else it is in columnar format."""
    return "instances" in document


def read_predict(document: Document, signatures: Mapping[str, wire.SignatureDef]) -> Inputs:
    """Read a document of ``:predict`` for a model with these signatures.

    Raises
    ------
    ServingError
        ``INVALID_ARGUMENT``, saying what is wrong where.
    """
    name = document.get("signature_name") or DEFAULT_SIGNATURE
    if name not in signatures:
        raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
    columns = {alias: _Column(alias, info.dtype) for alias, info in sorted(signatures[name].inputs.items())}
    if not columns:
        raise invalid_argument(f"Failed to get input map for signature: {document.get('signature_name') or 'DEFAULT'}")
    if "instances" in document and "inputs" in document:
        raise invalid_argument(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if "instances" in document:
        return Inputs(name, _read_rows(document, columns))
    if "inputs" in document:
        return Inputs(name, _read_columns(document["inputs"], columns))
    raise invalid_argument("Missing 'inputs' or 'instances' key")


@dataclass
class _Column:
    """A tensor that grows, value by value or row by row."""

    alias: str
    data_type: int
    flat: list[Any] = field(default_factory=list)
    shape: tuple[int, ...] | None = None

    def add(self, value: Any) -> None:
        """Append a tensor's numbers or strings; all must be of one shape."""
        shape = _shape_of(value)
        size = len(self.flat)
        _fill(value, shape, 0, _kind(self.data_type, value), self.flat)
        if self.shape is not None and math.prod(self.shape) != len(self.flat) - size:
            raise invalid_argument(f"Expecting tensor size: {math.prod(self.shape)} but got: {len(self.flat) - size}")
        if self.shape is not None and self.shape != shape:
            raise invalid_argument(f"Expecting shape {_printed(self.shape)} but got: {_printed(shape)}")
        self.shape = shape

    def array(self, shape: tuple[int, ...]) -> Array:
        """Return the tensor, its strings as objects, each ``bytes``."""
        dtype = dtype_of(self.data_type)
        array = np.empty(len(self.flat), np.int64 if dtype.kind in "iu" and dtype.itemsize < 4 else dtype)
        array[:] = self.flat
        return array.astype(dtype, copy=False).reshape(shape)


def _read_rows(document: Document, columns: dict[str, _Column]) -> dict[str, Array]:
    rows = document["instances"]
    if not isinstance(rows, list):
        raise invalid_argument(f"JSON Value: {shown(document)} Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid_argument(f"JSON Value: {shown(document)} No values in 'instances' array")
    if not isinstance(rows[0], dict) and len(columns) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = _is_object(rows[0])
    if not named and (whole := _whole(rows, next(iter(columns.values())))) is not None:
        return whole
    for place, row in enumerate(rows):
        if named:
            _add_named(row, place, columns)
        else:
            _add_plain(row, place, next(iter(columns.values())))
    filled = [column for column in columns.values() if column.shape is not None]
    return {column.alias: column.array((len(rows), *(column.shape or ()))) for column in filled}


def _whole(rows: list[Any], column: _Column) -> dict[str, Array] | None:
    """Read rows that are alike at once, which is faster by far; None if they are not, and each is to be looked at."""
    whole = _Column(column.alias, column.data_type)
    try:
        whole.add(rows)
    except ServingError:
        return None
    return {column.alias: whole.array(whole.shape or ())}


def _add_named(row: Any, place: int, columns: dict[str, _Column]) -> None:
    if not _is_object(row):
        raise invalid_argument(f"Expecting object but got list at item {place} of input list")
    for alias, value in row.items():
        try:
            if alias not in columns:
                raise invalid_argument(f"JSON object: does not have named input: {alias}")
            columns[alias].add(value)
        except ServingError as error:
            raise invalid_argument(
                f"Failed to process element: {place} key: {alias} of 'instances' list. Error: {error}"
            ) from error
    if row.keys() != columns.keys():
        raise invalid_argument(
            f"Failed to process element: {place} of 'instances' list. JSON object: {shown(row)} "
            f"keys must be equal to: {','.join(columns)}"
        )


def _add_plain(row: Any, place: int, column: _Column) -> None:
    if _is_object(row):
        raise invalid_argument(f"Expecting value/list but got object at item {place} of input list")
    try:
        column.add(row)
    except ServingError as error:
        raise invalid_argument(f"Failed to process element: {place} of 'instances' list. Error: {error}") from error


def _read_columns(value: Any, columns: dict[str, _Column]) -> dict[str, Array]:
    if not _is_object(value):
        if len(columns) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = {next(iter(columns)): value}
    for alias, column in columns.items():
        if alias not in value:
            raise invalid_argument(f"Missing named input: {alias} in 'inputs' object.")
        column.add(value[alias])
    return {alias: column.array(column.shape or ()) for alias, column in columns.items()}


def _shape_of(value: Any) -> tuple[int, ...]:
    """Return a tensor's shape: the first element at each level tells it."""
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        if len(shape) == MAX_RANK:
            raise invalid_argument(f"JSON Value: {shown(value)} has more than {MAX_RANK} nested lists")
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    return tuple(shape)


def _fill(value: Any, shape: tuple[int, ...], level: int, kind: str, flat: list[Any]) -> None:
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid_argument(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {rank}"
            )
        flat.append(_scalar(value, kind))
        return
    if level >= rank:
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    if level == rank - 1 and _are_plain(value, kind):
        flat.extend(value)
        return
    for item in value:
        _fill(item, shape, level + 1, kind, flat)


def _are_plain(values: list[Any], kind: str) -> bool:
    """Return whether a list needs no look at each of its values: the way of most numbers, at the speed of C."""
    types = set(map(type, values))
    if kind in _LARGEST:
        largest = _LARGEST[kind]
        return types <= {float} and (not values or -largest <= min(values) <= max(values) <= largest)
    if kind in _RANGES:
        return types <= {int} and (not values or (min(values) in _RANGES[kind] and max(values) in _RANGES[kind]))
    return kind == "bool" and types <= {bool}


def _scalar(value: Any, kind: str) -> Any:
    if kind == "string":
        return _bytes_value(value)
    if kind in _LARGEST:
        return _decimal(value, kind)
    is_right = isinstance(value, bool) if kind == "bool" else type(value) is int and value in _RANGES[kind]
    if not is_right:
        raise _wrong_type(value, kind)
    return value


def _decimal(value: Any, kind: str) -> float:
    if type(value) not in (int, float):
        raise _wrong_type(value, kind)
    if abs(value) > _LARGEST[kind] and value not in (math.inf, -math.inf):
        raise invalid_argument(f"Cannot convert JSON value: {shown(value)} to {kind} without loss of precision.")
    return float(value)


def _bytes_value(value: Any) -> bytes:
    if isinstance(value, str):
        return encode(value)
    if not isinstance(value, dict):
        raise _wrong_type(value, "string")
    return decode_base64(value)


def encode(text: str) -> bytes:
    """Return a text's UTF-8; raises :class:`ServingError` if it has half a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise invalid_argument("JSON Parse error: The surrogate pair in string is invalid.") from error


def decode_base64(value: dict[str, Any]) -> bytes:
    """Return the bytes of ``{"b64": "…"}``; raises :class:`ServingError` if it is no such."""
    if not is_base64(value):
        raise invalid_argument(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        text = "".join(text.split())  # encoders break lines
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise invalid_argument("Unable to base64 decode") from error


def is_base64(value: Any) -> bool:
    """Return whether a value is an object that stands for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _kind(data_type: int, value: Any) -> str:
    """Return TensorFlow's name of a type that JSON can be turned into; raises :class:`ServingError` otherwise."""
    try:
        name = type_name(dtype_of(data_type))
    except ValueError as error:
        raise ServingError("UNIMPLEMENTED", str(error)) from error
    if name not in (*_RANGES, *_LARGEST, "bool", "string"):
        first = value
        while isinstance(first, list) and first:
            first = first[0]
        raise ServingError("UNIMPLEMENTED", f"Conversion of JSON Value: {shown(first)} to type: {name}")
    return name


def json_type(value: Any) -> str:
    """Return what TF Serving calls the type of a JSON value."""
    if isinstance(value, bool):
        return str(value)
    return {dict: "Object", list: "Array", str: "String", type(None): "Null"}.get(type(value), "Number")


def _wrong_type(value: Any, expected: str) -> ServingError:
    return invalid_argument(f"JSON Value: {shown(value)} Type: {json_type(value)} is not of expected type: {expected}")


def _printed(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def shown(value: Any) -> str:
    """Print a value for an error, as TF Serving does; cut where it gets too long to be read."""
    try:
        text = layout(request_node(_beginning(value, [MAX_ECHO])))
    except (RecursionError, ValueError, OverflowError):
        text = "..."
    return text if len(text) <= MAX_ECHO else text[:MAX_ECHO] + "..."


def _beginning(value: Any, left: list[int]) -> Any:
    """Return a value without most of what would not be shown; ``left`` counts values down."""
    left[0] -= 1
    if isinstance(value, str):
        return value[: MAX_ECHO + 1]
    if isinstance(value, dict):
        pairs = takewhile(lambda _: left[0] >= 0, value.items())
        return {key[: MAX_ECHO + 1]: _beginning(member, left) for key, member in pairs}
    if isinstance(value, list):
        return [_beginning(element, left) for element in takewhile(lambda _: left[0] >= 0, value)]
    return value
