"""TF Serving's JSON: requests to arrays, arrays to answers.

The row format sends ``instances``, a list of examples; the columnar format sends ``inputs``, a
tensor or an object of tensors. Strings are texts, or ``{"b64": "…"}`` for bytes.
Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scenery.wire.tensors import Array, dtype_of
from serving.errors import ServingError, invalid_argument
from serving.saved_model import DEFAULT_SIGNATURE

_BYTES_SUFFIX = "_bytes"

MAX_RANK = 64
"""NumPy's limit; TensorFlow's is 254."""
MAX_ECHO = 1000
"""How much of a wrong value an error repeats, in characters."""


@dataclass(frozen=True)
class PredictInputs:
    """A parsed ``:predict`` body."""

    signature_name: str
    inputs: dict[str, Array]
    is_row: bool


def parse_predict(body: bytes, signatures: Mapping[str, Any]) -> PredictInputs:
    """Parse the body of a ``:predict`` request for a model with these signatures.

    Raises
    ------
    ServingError
        ``INVALID_ARGUMENT``, saying what is wrong where.
    """
    document = _parse(body)
    name = document.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {_pretty(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    if name not in signatures:
        raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
    kinds = _input_dtypes(signatures[name])
    if not kinds:
        raise invalid_argument(f"Failed to get input map for signature: {name}")
    if "instances" in document and "inputs" in document:
        raise invalid_argument(
            f"JSON Value: {_pretty(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if "instances" in document:
        return PredictInputs(name, _parse_rows(document, kinds), is_row=True)
    if "inputs" in document:
        return PredictInputs(name, _parse_columns(document["inputs"], kinds), is_row=False)
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def _input_dtypes(signature: Any) -> dict[str, np.dtype[Any]]:
    try:
        return {alias: dtype_of(info.dtype) for alias, info in signature.inputs.items()}
    except ValueError as error:
        raise ServingError("UNIMPLEMENTED", str(error)) from error


def format_predict(outputs: Mapping[str, Array], is_row: bool) -> dict[str, Any]:
    """Turn a signature's outputs into the answer: ``predictions`` by row, else ``outputs``.

    Raises
    ------
    ServingError
        ``INVALID_ARGUMENT`` if outputs asked for by row are not of one batch size.
    """
    columns = {name: _to_json(name, array) for name, array in outputs.items()}
    single = next(iter(columns.values())) if len(columns) == 1 else None
    if not is_row:
        return {"outputs": columns if single is None else single}
    _require_batch(outputs)
    if single is not None:
        return {"predictions": single}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def _parse(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except json.JSONDecodeError as error:
        raise invalid_argument(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise invalid_argument(
            "JSON Parse error: not UTF-8, nested too deeply, or a number of too many digits"
        ) from error
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {_pretty(document)} Is not object")
    return document


def _parse_rows(document: dict[str, Any], kinds: Mapping[str, np.dtype[Any]]) -> dict[str, Array]:
    rows = document["instances"]
    if not isinstance(rows, list):
        raise invalid_argument(f"JSON Value: {_pretty(document)} Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid_argument(f"JSON Value: {_pretty(document)} No values in 'instances' array")
    named = isinstance(rows[0], dict) and (len(kinds) > 1 or not _is_plain(rows[0], next(iter(kinds))))
    if not named and len(kinds) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns: dict[str, list[Array]] = {alias: [] for alias in kinds}
    for place, row in enumerate(rows):
        for alias, value in _row_values(row, place, named, kinds).items():
            columns[alias].append(_row_tensor(value, place, kinds[alias], columns[alias]))
    return {alias: np.stack(tensors) for alias, tensors in columns.items()}


def _is_plain(value: Any, alias: str) -> bool:
    return not isinstance(value, dict) or (set(value) == {"b64"} and alias != "b64")


def _row_values(row: Any, place: int, named: bool, kinds: Mapping[str, np.dtype[Any]]) -> dict[str, Any]:
    if not named:
        if not _is_plain(row, next(iter(kinds))):
            raise invalid_argument(f"Expecting value/list but got object at item {place} of input list")
        return {next(iter(kinds)): row}
    if not isinstance(row, dict):
        raise invalid_argument(f"Expecting object but got list at item {place} of input list")
    for alias in row:
        if alias not in kinds:
            raise invalid_argument(
                f"Failed to process element: {place} key: {alias} of 'instances' list. Error: INVALID_ARGUMENT: "
                f"JSON object: does not have named input: {alias}"
            )
    if len(row) != len(kinds):
        raise invalid_argument(
            f"Failed to process element: {place} of 'instances' list. JSON object: {_pretty(row)} "
            f"keys must be equal to: {','.join(sorted(kinds))}"
        )
    return row


def _row_tensor(value: Any, place: int, dtype: np.dtype[Any], before: list[Array]) -> Array:
    try:
        tensor = _to_array(value, dtype)
        if before and tensor.shape != before[0].shape:
            raise _unlike(tensor.shape, before[0].shape)
    except ServingError as error:
        raise invalid_argument(
            f"Failed to process element: {place} of 'instances' list. Error: INVALID_ARGUMENT: {error.message}"
        ) from error
    return tensor


def _unlike(shape: tuple[int, ...], expected: tuple[int, ...]) -> ServingError:
    if len(shape) == len(expected):
        return invalid_argument(f"Expecting tensor size: {int(np.prod(expected))} but got: {int(np.prod(shape))}")
    return invalid_argument(f"Expecting shape {list(expected)} but got: {list(shape)}")


def _parse_columns(value: Any, kinds: Mapping[str, np.dtype[Any]]) -> dict[str, Array]:
    if _is_plain(value, next(iter(kinds))):
        if len(kinds) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = {next(iter(kinds)): value}
    for alias in kinds:
        if alias not in value:
            raise invalid_argument(f"Missing named input: {alias} in 'inputs' object.")
    return {alias: _to_array(value[alias], dtype) for alias, dtype in kinds.items()}


def _to_array(value: Any, dtype: np.dtype[Any]) -> Array:
    """Turn nested lists into an array: the first element at each level tells the shape."""
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        if len(shape) == MAX_RANK:
            raise invalid_argument(f"JSON Value: {_pretty(value)} has more than {MAX_RANK} nested lists")
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    flat: list[Any] = []
    _flatten(value, shape, 0, dtype, flat)
    array = np.empty(len(flat), dtype)
    try:
        array[:] = flat
    except OverflowError as error:
        raise invalid_argument(f"JSON Value: {_pretty(value)} has a number too large for {dtype.name}") from error
    return array.reshape(shape)


def _flatten(value: Any, shape: list[int], level: int, dtype: np.dtype[Any], flat: list[Any]) -> None:
    if level == len(shape):
        flat.append(_scalar(value, dtype))
        return
    if not isinstance(value, list):
        raise invalid_argument(f"JSON Value: {_pretty(value)} found where a list was expected at level: {level}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _flatten(item, shape, level + 1, dtype, flat)


def _scalar(value: Any, dtype: np.dtype[Any]) -> Any:
    if dtype.hasobject:
        return _bytes_value(value)
    accepted = {"b": (bool,), "f": (int, float), "i": (int,), "u": (int,)}.get(dtype.kind, ())
    if type(value) not in accepted:
        raise _wrong_type(value, {"float32": "float", "float64": "double"}.get(dtype.name, dtype.name))
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        raise _wrong_type(value, dtype.name)
    return value


def _bytes_value(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode(errors="surrogatepass")
    if not isinstance(value, dict) or set(value) != {"b64"} or not isinstance(value["b64"], str):
        raise _wrong_type(value, "string")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except ValueError as error:
        raise invalid_argument("Unable to base64 decode") from error


def _wrong_type(value: Any, expected: str) -> ServingError:
    names = {dict: "Object", list: "Array", str: "String", type(None): "Null", int: "Number", float: "Number"}
    kind = str(value) if isinstance(value, bool) else names[type(value)]
    return invalid_argument(f"JSON Value: {_pretty(value)} Type: {kind} is not of expected type: {expected}")


def _pretty(value: Any) -> str:
    """Print for an error, as TF Serving does; cut where it gets too long to be read."""
    try:
        text = _print(value)
    except (RecursionError, ValueError):
        text = "..."
    return text if len(text) <= MAX_ECHO else text[:MAX_ECHO] + "..."


def _print(value: Any) -> str:
    """Print an object's members on lines of their own, lists in one line."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_print, value)) + "]"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    members = [f"{json.dumps(key)}: {_print(member)}" for key, member in value.items()]
    inner = ",\n".join(members).replace("\n", "\n    ")
    return "{\n    " + inner + "\n}" if members else "{}"


def _require_batch(outputs: Mapping[str, Array]) -> None:
    expected: int | None = None
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if expected is not None and len(array) != expected:
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {expected}"
            )
        expected = len(array)


def _to_json(name: str, array: Array) -> Any:
    if array.dtype.hasobject:
        return _map(array.tolist(), _encoded if name.endswith(_BYTES_SUFFIX) else _text)
    if array.dtype in (np.float32, np.float16):
        # The shortest decimal that reads back as the same float32, not its float64 expansion.
        return _map(array.tolist(), lambda value: float(str(array.dtype.type(value))))
    return array.tolist()


def _map(value: Any, function: Any) -> Any:
    return [_map(item, function) for item in value] if isinstance(value, list) else function(value)


def _encoded(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
