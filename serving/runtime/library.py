"""TensorFlow's shared library, opened without importing the ``tensorflow`` package.

The functions are those of TensorFlow's C API, whose signatures do not change between releases
(https://www.tensorflow.org/install/lang_c, ``tensorflow/c/c_api.h``). Opening the library
takes a third of a second; importing the package takes more than five, and much of its Python
holds the interpreter's lock while a model loads.

Functions that take long are called without that lock (``CDLL``); those that return at once are
called with it (``PyDLL``), which is cheaper and lets no other thread in between.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scenery import wire
from serving.errors import ServingError

_CODES = {value: name for name, value in wire.enum_values("tensorflow.error.Code").items()}

DEALLOCATOR = ctypes.CFUNCTYPE(None, c_void_p, c_size_t, c_void_p)
"""Called by TensorFlow, from any thread, with data, length and argument of a tensor that is done with."""


class Buffer(ctypes.Structure):
    """``TF_Buffer``: bytes that TensorFlow owns."""

    _fields_ = (("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p))


class Output(ctypes.Structure):
    """``TF_Output``: an output of an operation of a graph."""

    _fields_ = (("operation", c_void_p), ("index", c_int))


def _find() -> Path:
    spec = find_spec("tensorflow")
    if spec is None or spec.origin is None:
        raise ServingError(
            "FAILED_PRECONDITION", "The package tensorflow is not installed. Run: pip install 'scenery[serving]'"
        )
    return Path(spec.origin).parent


def _open() -> tuple[Any, Any]:
    folder = _find()
    suffix = "2.dylib" if sys.platform == "darwin" else "so.2"
    path = folder / f"libtensorflow_cc.{suffix}"
    try:
        # Its symbols stay its own (RTLD_LOCAL): it holds a copy of OpenSSL that hashlib must not meet.
        return ctypes.CDLL(str(path)), ctypes.PyDLL(str(path))
    except OSError as error:
        raise ServingError("FAILED_PRECONDITION", f"TensorFlow's library cannot be opened: {error}") from error


_unlocked, _locked = _open()


def _declare(library: Any, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype = result
    function.argtypes = arguments
    return function


_P = c_void_p

load_session = _declare(
    _unlocked, "TF_LoadSessionFromSavedModel", _P, _P, _P, c_char_p, POINTER(c_char_p), c_int, _P, POINTER(Buffer), _P
)
session_run = _declare(
    _unlocked,
    "TF_SessionRun",
    None,
    *(_P, _P),  # session, run options
    *(POINTER(Output), POINTER(_P), c_int),  # inputs
    *(POINTER(Output), POINTER(_P), c_int),  # outputs
    *(_P, c_int),  # targets
    *(_P, _P),  # run metadata, status
)
close_session = _declare(_unlocked, "TF_CloseSession", None, _P, _P)
delete_session = _declare(_unlocked, "TF_DeleteSession", None, _P, _P)
delete_graph = _declare(_unlocked, "TF_DeleteGraph", None, _P)

version = _declare(_locked, "TF_Version", c_char_p)
new_graph = _declare(_locked, "TF_NewGraph", _P)
graph_operation = _declare(_locked, "TF_GraphOperationByName", _P, _P, c_char_p)
operation_outputs = _declare(_locked, "TF_OperationNumOutputs", c_int, _P)
new_session_options = _declare(_locked, "TF_NewSessionOptions", _P)
set_config = _declare(_locked, "TF_SetConfig", None, _P, _P, c_size_t, _P)
delete_session_options = _declare(_locked, "TF_DeleteSessionOptions", None, _P)
new_buffer = _declare(_locked, "TF_NewBuffer", POINTER(Buffer))
new_buffer_from = _declare(_locked, "TF_NewBufferFromString", POINTER(Buffer), _P, c_size_t)
delete_buffer = _declare(_locked, "TF_DeleteBuffer", None, POINTER(Buffer))

new_tensor = _declare(_locked, "TF_NewTensor", _P, c_int, POINTER(c_int64), c_int, _P, c_size_t, DEALLOCATOR, _P)
allocate_tensor = _declare(_locked, "TF_AllocateTensor", _P, c_int, POINTER(c_int64), c_int, c_size_t)
delete_tensor = _declare(_locked, "TF_DeleteTensor", None, _P)
tensor_type = _declare(_locked, "TF_TensorType", c_int, _P)
tensor_data = _declare(_locked, "TF_TensorData", _P, _P)
tensor_bytes = _declare(_locked, "TF_TensorByteSize", c_size_t, _P)
tensor_rank = _declare(_locked, "TF_NumDims", c_int, _P)
tensor_extent = _declare(_locked, "TF_Dim", c_int64, _P, c_int)

string_init = _declare(_locked, "TF_StringInit", None, _P)
string_copy = _declare(_locked, "TF_StringCopy", None, _P, c_char_p, c_size_t)
string_data = _declare(_locked, "TF_StringGetDataPointer", _P, _P)
string_bytes = _declare(_locked, "TF_StringGetSize", c_size_t, _P)
string_free = _declare(_locked, "TF_StringDealloc", None, _P)

_process = ctypes.CDLL(None)


def release_memory() -> None:
    """Give freed memory back to the system, where the C library has a call for it (glibc)."""
    if hasattr(_process, "malloc_trim"):
        _process.malloc_trim(0)


_new_status = _declare(_locked, "TF_NewStatus", _P)
_status_code = _declare(_locked, "TF_GetCode", c_int, _P)
_status_message = _declare(_locked, "TF_Message", c_char_p, _P)
_delete_status = _declare(_locked, "TF_DeleteStatus", None, _P)


@contextmanager
def checked() -> Iterator[Any]:
    """Give a ``TF_Status`` to one call; raises :class:`ServingError` if the call set an error."""
    status = _new_status()
    try:
        yield status
        code = _status_code(status)
        if code:
            raise ServingError(_CODES.get(code, "UNKNOWN"), _status_message(status).decode(errors="replace"))
    finally:
        _delete_status(status)
