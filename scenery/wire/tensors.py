"""``TensorProto`` and NumPy arrays, one from the other.

Numbers travel either as raw bytes (``tensor_content``) or in a field of their type
(``float_val``, ``int_val``, …); TensorFlow Serving reads both and answers with the latter.
In a typed field the last value stands for all that are missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scenery import wire
from scenery.wire.long_string import varint

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Type:
    dtype: np.dtype[Any]
    field: str
    name: str
    """What TensorFlow calls the type in texts."""


_NUMBERS = wire.enum_values("tensorflow.DataType")
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])
"""NumPy has no bfloat16: the bits of each number."""

_TYPES = {
    _NUMBERS[number]: _Type(np.dtype(dtype), field, name)
    for number, dtype, field, name in (
        ("DT_FLOAT", np.float32, "float_val", "float"),
        ("DT_DOUBLE", np.float64, "double_val", "double"),
        ("DT_INT64", np.int64, "int64_val", "int64"),
        ("DT_INT32", np.int32, "int_val", "int32"),
        ("DT_INT16", np.int16, "int_val", "int16"),
        ("DT_INT8", np.int8, "int_val", "int8"),
        ("DT_UINT8", np.uint8, "int_val", "uint8"),
        ("DT_UINT16", np.uint16, "int_val", "uint16"),
        ("DT_UINT32", np.uint32, "uint32_val", "uint32"),
        ("DT_UINT64", np.uint64, "uint64_val", "uint64"),
        ("DT_BOOL", np.bool_, "bool_val", "bool"),
        ("DT_HALF", np.float16, "half_val", "half"),
        ("DT_BFLOAT16", BFLOAT16, "half_val", "bfloat16"),
        ("DT_COMPLEX64", np.complex64, "scomplex_val", "complex64"),
        ("DT_COMPLEX128", np.complex128, "dcomplex_val", "complex128"),
        ("DT_STRING", np.object_, "string_val", "string"),
    )
}
_DATA_TYPES = {kind.dtype: number for number, kind in _TYPES.items()}

MAX_EXPANDED_BYTES = 256 * 2**20
"""How much memory a tensor may take of which not every element was sent."""
_STRING_BYTES = 256
"""What a string counts there: it takes more time than its bytes tell."""

DT_STRING = _NUMBERS["DT_STRING"]


def dtype_of(data_type: int) -> np.dtype[Any]:
    """Return the NumPy type of a ``tensorflow.DataType``; strings are objects (``bytes``).

    Raises
    ------
    ValueError
        If it has none.
    """
    try:
        return _TYPES[data_type].dtype
    except KeyError:
        raise ValueError(f"Tensors of data type {data_type} are not supported.") from None


def data_type_of(dtype: np.dtype[Any]) -> int:
    """Return the ``tensorflow.DataType`` of a NumPy type.

    Raises
    ------
    ValueError
        If it has none.
    """
    try:
        return _DATA_TYPES[dtype]
    except KeyError:
        raise ValueError(f"Arrays of type {dtype} cannot be sent.") from None


def type_name(dtype: np.dtype[Any]) -> str:
    """Return TensorFlow's name of a type, such as ``float`` or ``string``; see :func:`data_type_of`."""
    return _TYPES[data_type_of(dtype)].name


def to_array(tensor: wire.TensorProto) -> Array:
    """Read a ``TensorProto``: any type and shape → an array of the same.

    Raises
    ------
    ValueError
        If its type is not supported, its shape is unknown or its bytes do not fill its shape.
    """
    dtype = dtype_of(tensor.dtype)
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise ValueError("A tensor's shape must be known.")
    if tensor.tensor_content and dtype.hasobject:
        return _strings_from_content(tensor.tensor_content, math.prod(shape)).reshape(shape)
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    return _from_field(getattr(tensor, _TYPES[tensor.dtype].field), dtype, shape)


def _from_field(field: Any, dtype: np.dtype[Any], shape: list[int]) -> Array:
    count = math.prod(shape)
    element_bytes = _STRING_BYTES + len(field[-1] if len(field) else b"") if dtype.hasobject else dtype.itemsize
    if len(field) < count and count * element_bytes > MAX_EXPANDED_BYTES:
        raise ValueError(f"A tensor of {count} elements must carry them; {len(field)} were sent.")
    if dtype.hasobject:
        values = np.empty(len(field), dtype)
        values[:] = field
    elif dtype in (np.float16, BFLOAT16):
        values = np.array(field, np.uint16).view(dtype)
    elif dtype.kind == "c":
        values = np.array(field, dtype.type(0).real.dtype).view(dtype)
    else:
        values = np.array(field).astype(dtype)
    if len(values) < count:
        last = values[-1:] if len(values) else np.array([b""] if dtype.hasobject else [0], dtype)
        values = np.concatenate([values, np.repeat(last, count - len(values))])
    array: Array = values[:count].reshape(shape)
    return array


def to_proto(array: Array, as_content: bool = False) -> wire.TensorProto:
    """Write an array as a ``TensorProto``, in the field of its type, or in ``tensor_content``.

    Strings are arrays of objects, each ``bytes``.

    Raises
    ------
    ValueError
        If the array's type has no ``tensorflow.DataType`` here.
    """
    data_type = data_type_of(array.dtype)
    tensor = wire.TensorProto(dtype=data_type)
    tensor.tensor_shape.SetInParent()
    for extent in array.shape:
        tensor.tensor_shape.dim.add(size=extent)
    if as_content:
        tensor.tensor_content = _strings_to_content(array) if data_type == DT_STRING else array.tobytes()
    else:
        getattr(tensor, _TYPES[data_type].field).extend(_field_values(array.ravel()))
    return tensor


def _field_values(flat: Array) -> Any:
    if flat.dtype in (np.float16, BFLOAT16):
        return flat.view(np.uint16).tolist()
    if flat.dtype.kind == "c":
        return flat.view(flat.real.dtype).tolist()
    return flat.tolist()


def _strings_to_content(array: Array) -> bytes:
    """Write the length of every string as a varint, then their bytes (``port::EncodeStringList``)."""
    lengths = [varint(len(value)) for value in array.flat]
    return b"".join([*lengths, *array.flat])


def _strings_from_content(content: bytes, count: int) -> Array:
    lengths, place = [], 0
    for _ in range(count):
        length = shift = 0
        while True:
            if place == len(content) or shift > 28:
                raise ValueError("A tensor of strings must begin with their lengths.")
            byte = content[place]
            length |= (byte & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if byte < 0x80:
                break
        lengths.append(length)
    if place + sum(lengths) != len(content):
        raise ValueError("A tensor of strings must hold as many bytes as their lengths say.")
    values = np.empty(count, object)
    for index, length in enumerate(lengths):
        values[index] = content[place : place + length]
        place += length
    return values
