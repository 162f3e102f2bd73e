"""``TF_Tensor`` and NumPy arrays, one from the other."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from scenery.wire.tensors import DT_STRING, Array, data_type_of, dtype_of
from serving.errors import ServingError
from serving.runtime import library

_STRING_BYTES = 24
"""The size of a ``TF_TString`` (``tensorflow/core/platform/ctstring_internal.h``)."""

_strings_in_use: dict[int, Any] = {}
"""The memory of string tensors, by its address, until TensorFlow lets go of it."""


def _free(address: int | None, length: int, _: int | None) -> None:
    for place in range(address or 0, (address or 0) + length, _STRING_BYTES):
        library.string_free(place)
    _strings_in_use.pop(address or 0, None)


_free_strings = library.DEALLOCATOR(_free)


def new_tensor(array: Array) -> int:
    """Copy an array of any shape into a new ``TF_Tensor``; strings are objects, each ``bytes``.

    The caller deletes it.

    Raises
    ------
    ServingError
        ``UNIMPLEMENTED`` if the type of the array is none of TensorFlow's.
    """
    try:
        data_type = data_type_of(array.dtype)
    except ValueError as error:
        raise ServingError("UNIMPLEMENTED", str(error)) from error
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    if data_type == DT_STRING:
        return _new_string_tensor(array, shape)
    source = np.require(array, requirements="C")
    tensor: int = library.allocate_tensor(data_type, shape, array.ndim, source.nbytes)
    if source.nbytes:
        ctypes.memmove(library.tensor_data(tensor), source.ctypes.data, source.nbytes)
    return tensor


def _new_string_tensor(array: Array, shape: Any) -> int:
    length = array.size * _STRING_BYTES
    memory = ctypes.create_string_buffer(max(length, 1))
    address = ctypes.addressof(memory)
    _strings_in_use[address] = memory
    for place in range(address, address + length, _STRING_BYTES):
        library.string_init(place)
    tensor: int = library.new_tensor(DT_STRING, shape, array.ndim, address, length, _free_strings, None)
    try:
        for place, value in zip(range(address, address + length, _STRING_BYTES), array.flat, strict=True):
            library.string_copy(place, value, len(value))
    except BaseException:
        library.delete_tensor(tensor)
        raise
    return tensor


def to_array(tensor: int) -> Array:
    """Copy a ``TF_Tensor`` into an array; strings become objects, each ``bytes``.

    Raises
    ------
    ServingError
        ``UNIMPLEMENTED`` if its type has no counterpart in NumPy.
    """
    data_type = library.tensor_type(tensor)
    shape = [library.tensor_extent(tensor, axis) for axis in range(library.tensor_rank(tensor))]
    try:
        dtype = dtype_of(data_type)
    except ValueError as error:
        raise ServingError("UNIMPLEMENTED", str(error)) from error
    address = library.tensor_data(tensor)
    if data_type == DT_STRING:
        return _to_string_array(address, shape)
    # Not ctypes.string_at, whose length is a C int.
    memory = (ctypes.c_char * library.tensor_bytes(tensor)).from_address(address) if address else b""
    array: Array = np.frombuffer(memory, dtype).reshape(shape).copy()
    return array


def _to_string_array(address: int, shape: list[int]) -> Array:
    array = np.empty(shape, object)
    for index in range(array.size):
        place = address + index * _STRING_BYTES
        array.flat[index] = ctypes.string_at(library.string_data(place), library.string_bytes(place))
    return array
