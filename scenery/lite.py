"""A version's ``model.tflite``: a part of its SavedModel's graph, computed by LiteRT instead of TensorFlow.

The SavedModel stays complete. A signature that ``model.tflite`` has under the same name, with the same
inputs and outputs, says where the graph is cut: TensorFlow computes that signature's inputs, unless a
caller brings them, and LiteRT its outputs. So every signature of the SavedModel that ends in these
outputs is answered by both, and all others by TensorFlow alone.

The package ``ai-edge-litert`` is imported when the first file is opened.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenery.errors import ConfigurationError, VersionError
from scenery.wire.tensors import Array, dtype_of

FILE_NAME = "model.tflite"
"""As TensorFlow Serving names it."""

RunGraph = Callable[[Mapping[str, Array], Sequence[str]], Sequence[Array]]
"""Runs the whole graph by TensorFlow: arrays to feed and names of tensors to fetch, such as ``x:0``, by their names."""


def require_runtime() -> None:
    """Raise :class:`ConfigurationError` if LiteRT is not installed."""
    _interpreter_type()


def _interpreter_type() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ConfigurationError(
            f"A {FILE_NAME} needs the package ai-edge-litert, which is not installed. Run: pip install 'scenery[lite]'"
        ) from error
    return Interpreter


@dataclass(frozen=True)
class Tensor:
    """What a signature takes or gives under one name."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    """-1 for an extent that a caller chooses."""

    def __str__(self) -> str:
        """Return type and shape, such as ``float32 [-1, 4]``."""
        return f"{self.dtype} {list(self.shape)}"

    def takes(self, array: Array) -> bool:
        """Tell whether an array is one of these."""
        return (
            array.dtype == self.dtype
            and array.ndim == len(self.shape)
            and all(extent in (-1, given) for extent, given in zip(self.shape, array.shape, strict=True))
        )


class LiteModel:
    """The signatures of one file. Calls may come from many threads."""

    def __init__(self, path: Path, interpreters: int = 1) -> None:
        """Open ``path`` with so many interpreters, each of one thread: an interpreter runs one call at a time.

        Raises
        ------
        ConfigurationError
            If LiteRT is not installed.
        VersionError
            If the file is missing or damaged, or has an operation that LiteRT does not know.
        """
        interpreter_type = _interpreter_type()
        try:
            opened = [interpreter_type(str(path), num_threads=1) for _ in range(interpreters)]
            for interpreter in opened:
                interpreter.allocate_tensors()  # what the first call in each would otherwise wait for
            names = list(opened[0].get_signature_list())
            runners = [{name: interpreter.get_signature_runner(name) for name in names} for interpreter in opened]
        except (ValueError, RuntimeError) as error:
            raise VersionError(f"{path} cannot be loaded by LiteRT: {_line(error)}. Export it again.") from error
        self.inputs = {name: _tensors(runner.get_input_details()) for name, runner in runners[0].items()}
        """What each signature takes, by name."""
        self.outputs = {name: _tensors(runner.get_output_details()) for name, runner in runners[0].items()}
        self._idle: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        for each in runners:
            self._idle.put(each)

    def run(self, signature: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Run a signature, in an interpreter that is idle, or the first that will be.

        Raises
        ------
        ValueError
            If an array is not of its input's type and shape.
        RuntimeError
            If LiteRT fails.
        """
        for name, tensor in self.inputs[signature].items():
            if not tensor.takes(arrays[name]):
                given = f"{arrays[name].dtype} {list(arrays[name].shape)}"
                raise ValueError(f"The input {name!r} of {signature!r} must be {tensor}. Received: {given}")
        runners = self._idle.get()
        try:
            answer: dict[str, Array] = runners[signature](**arrays)
            return answer
        finally:
            self._idle.put(runners)


def _tensors(details: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    return {
        name: Tensor(np.dtype(detail["dtype"]), tuple(map(int, detail["shape_signature"])))
        for name, detail in details.items()
    }


@dataclass(frozen=True)
class _Cut:
    """A signature of ``model.tflite`` as a part of the graph: the names of tensors, by those of inputs and outputs."""

    signature: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


class LiteGraph:
    """The graph of a SavedModel, a part of which LiteRT computes. Calls may come from many threads."""

    def __init__(self, path: Path, signatures: Mapping[str, Any], interpreters: int = 1) -> None:
        """Open ``path``, the ``model.tflite`` beside a SavedModel.

        Parameters
        ----------
        signatures
            The SavedModel's, each a ``SignatureDef`` of whichever protocol buffers.
        interpreters
            How many calls run at a time.

        Raises
        ------
        ConfigurationError
            If LiteRT is not installed.
        VersionError
            If the file cannot be loaded, or its signatures are not the SavedModel's.
        """
        self._model = LiteModel(path, interpreters)
        if not self._model.inputs:
            raise VersionError(f"{path} has no signature, so nothing says what it computes. Export it again.")
        self._cuts = [self._cut(path, name, signatures) for name in self._model.inputs]

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], run_graph: RunGraph) -> list[Array]:
        """Compute tensors of the graph; ``run_graph`` computes what LiteRT does not.

        A call with an empty array is ``run_graph``'s alone: LiteRT knows no empty batch.

        Raises
        ------
        ValueError
            If what is fed where the graph is cut has another type or shape.
        RuntimeError
            If LiteRT fails.
        """
        cuts = [cut for cut in self._cuts if not set(cut.outputs.values()).isdisjoint(fetches)]
        if not cuts or any(array.size == 0 for array in feeds.values()):
            return list(run_graph(feeds, fetches))
        ours = {name for cut in cuts for name in cut.outputs.values()}
        needed = {name for cut in cuts for name in cut.inputs.values()} - set(feeds)
        theirs = sorted(needed | (set(fetches) - ours))
        values = dict(feeds)
        if theirs:
            values.update(zip(theirs, run_graph(feeds, theirs), strict=True))
        for cut in cuts:
            answer = self._model.run(cut.signature, {name: values[tensor] for name, tensor in cut.inputs.items()})
            values.update((tensor, answer[name]) for name, tensor in cut.outputs.items())
        return [values[name] for name in fetches]

    def _cut(self, path: Path, name: str, signatures: Mapping[str, Any]) -> _Cut:
        """Find a signature in the graph; raises :class:`VersionError` if the SavedModel's is another."""
        lite = {"inputs": self._model.inputs[name], "outputs": self._model.outputs[name]}
        if name not in signatures:
            raise VersionError(
                f"{path} has a signature {name!r}, and the SavedModel beside it has not. Export it again."
            )
        whole = {
            side: {alias: _tensor(info) for alias, info in getattr(signatures[name], side).items()} for side in lite
        }
        if lite != whole:
            raise VersionError(
                f"{path} is not of the SavedModel beside it: the signature {name!r} has {_told(lite)}, there "
                f"{_told(whole)}. Export it again."
            )
        inputs, outputs = (
            {alias: info.name for alias, info in getattr(signatures[name], side).items()} for side in lite
        )
        return _Cut(name, inputs, outputs)


def _tensor(info: Any) -> Tensor | None:
    """Read a ``TensorInfo``; None if its type or shape is none that LiteRT could have."""
    try:
        dtype = dtype_of(info.dtype)
    except ValueError:
        return None
    return None if info.tensor_shape.unknown_rank else Tensor(dtype, tuple(dim.size for dim in info.tensor_shape.dim))


def _told(signature: Mapping[str, Mapping[str, Tensor | None]]) -> str:
    return ", ".join(f"{name}: {tensor}" for side in signature.values() for name, tensor in sorted(side.items()))


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else repr(error)
