"""A loaded SavedModel: its signatures, run in a TensorFlow ``Session``.

This is how TensorFlow Serving itself runs models, so a SavedModel that fails there fails here,
with the same message; and a ``Session``'s callables cost less a call than functions do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2

from scenery import wire
from scenery.wire.tensors import Array
from serving.errors import ServingError

DEFAULT_SIGNATURE = "serving_default"
"""The signature of a request that names none."""

_PYTHON_PREFIX = "Graph execution error:\n\n"
"""What TensorFlow's Python layer puts in front of the runtime's own message."""

_CODES = {value: name for name, value in wire.enum_values("tensorflow.error.Code").items()}

logging.getLogger("tensorflow").setLevel(logging.ERROR)


class SavedModel:
    """A SavedModel's ``serve`` graph in a session of its own. Calls may come from many threads."""

    def __init__(self, path: Path, session_config: Any = None) -> None:
        """Load ``path``; raises :class:`ServingError` if TensorFlow cannot."""
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=session_config)
        self._callables: dict[tuple[str, tuple[str, ...]], Any] = {}
        try:
            with translated_errors(), graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, [tf.saved_model.SERVING], str(path))
        except BaseException:
            self._session.close()
            raise
        self.signatures: dict[str, wire.SignatureDef] = {
            name: wire.SignatureDef.FromString(signature.SerializeToString())
            for name, signature in meta_graph.signature_def.items()
        }
        graph.finalize()

    def run(self, signature_name: str, inputs: Mapping[str, Array], outputs: Iterable[str]) -> dict[str, Array]:
        """Run a signature.

        Parameters
        ----------
        signature_name
            One of :attr:`signatures`.
        inputs
            An array for each input of the signature.
        outputs
            The names of the outputs to compute.

        Raises
        ------
        ServingError
            With TensorFlow's own code and message.
        """
        wanted = tuple(outputs)
        with translated_errors():
            values = self._callable(signature_name, wanted)(*(inputs[name] for name in sorted(inputs)))
        return {name: _as_array(value) for name, value in zip(wanted, values, strict=True)}

    def _callable(self, signature_name: str, outputs: tuple[str, ...]) -> Any:
        """Return the compiled call; two threads may make it at once, and one of the two is kept."""
        key = signature_name, outputs
        if key not in self._callables:
            signature = self.signatures[signature_name]
            options = config_pb2.CallableOptions(
                feed=[signature.inputs[name].name for name in sorted(signature.inputs)],
                fetch=[signature.outputs[name].name for name in outputs],
            )
            # The public make_callable checks shapes in Python, which TF Serving does not do.
            self._callables[key] = self._session._make_callable_from_options(options)
        return self._callables[key]

    def close(self) -> None:
        """Free the session; nothing may be running in it."""
        self._callables.clear()
        self._session.close()


def _as_array(value: Any) -> Array:
    """Sessions return a scalar string as bare ``bytes``."""
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what TensorFlow raises into a :class:`ServingError` with the runtime's message."""
    try:
        yield
    except tf.errors.OpError as error:
        message = error.message.removeprefix(_PYTHON_PREFIX)
        raise ServingError(_CODES.get(error.error_code, "UNKNOWN"), message) from error
    except RuntimeError as error:  # a session that was closed meanwhile
        raise ServingError("UNAVAILABLE", str(error)) from error
    except (OSError, ValueError, TypeError, KeyError, DecodeError) as error:
        raise ServingError("INVALID_ARGUMENT", str(error)) from error
