"""A version's ``model.tflite``: a part of its SavedModel's graph, computed by LiteRT instead of TensorFlow.

The SavedModel stays complete. A signature that ``model.tflite`` has under the same name, with the same
inputs and outputs, says where the graph is cut: TensorFlow computes that signature's inputs, unless a
caller brings them, and LiteRT its outputs. So every signature of the SavedModel that ends in these
outputs is answered by both, and all others by TensorFlow alone; also one that brings something from
behind the cut.

The package ``ai-edge-litert`` is imported when the first file is opened.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenery.errors import ConfigurationError, VersionError, first_line
from scenery.wire.tensors import Array, dtype_of

FILE_NAME = "model.tflite"
"""As TensorFlow Serving names it."""

_MOST_ROWS = 16
"""An interpreter keeps the memory of its largest call; one that had more rows is not used again."""

RunGraph = Callable[[Mapping[str, Array], Sequence[str]], Sequence[Array]]
"""Runs the whole graph by TensorFlow: arrays to feed and names of tensors to fetch, such as ``x:0``, by their names."""


def has_lite(version: Path) -> bool:
    """Tell whether a version's folder has a ``model.tflite``."""
    return (version / FILE_NAME).is_file()


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
        """Read ``path`` into so many interpreters, each of one thread: an interpreter runs one call at a time.

        Raises
        ------
        ConfigurationError
            If LiteRT is not installed.
        VersionError
            If the file is missing or damaged, or has an operation that LiteRT does not know.
        """
        self._interpreter_type = _interpreter_type()
        try:
            # By its path LiteRT would map the file, and end the process where somebody shortens it.
            self._content = path.read_bytes()
            opened = [self._open() for _ in range(interpreters)]
        except OSError as error:
            raise VersionError(f"{path} cannot be read: {error.strerror}. Export it again.") from error
        except (ValueError, RuntimeError) as error:
            raise VersionError(f"{path} cannot be loaded by LiteRT: {first_line(error)}. Export it again.") from error
        self.inputs = {name: _tensors(runner.get_input_details()) for name, runner in opened[0].items()}
        """What each signature takes, by name."""
        self.outputs = {name: _tensors(runner.get_output_details()) for name, runner in opened[0].items()}
        # The last that was used comes first, so that a quiet server warms one. None: to be opened.
        self._idle: queue.LifoQueue[dict[str, Any] | None] = queue.LifoQueue()
        for runners in opened:
            self._idle.put(runners)

    def _open(self) -> dict[str, Any]:
        """Return what runs each signature, by name, in an interpreter of its own."""
        interpreter = self._interpreter_type(model_content=self._content, num_threads=1)
        interpreter.allocate_tensors()  # what the first call would otherwise wait for
        return {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}

    def run(self, signature: str, arrays: Mapping[str, Array], deadline: float | None = None) -> dict[str, Array]:
        """Run a signature, in an interpreter that is idle, or the first that will be.

        Parameters
        ----------
        deadline
            Until when to wait for an interpreter, by ``time.monotonic``.

        Raises
        ------
        ValueError
            If an array is not of its input's type and shape.
        TimeoutError
            If none is idle in time.
        RuntimeError
            If LiteRT fails.
        """
        for name, tensor in self.inputs[signature].items():
            if not tensor.takes(arrays[name]):
                given = f"{arrays[name].dtype} {list(arrays[name].shape)}"
                raise ValueError(f"The input {name!r} of {signature!r} must be {tensor}. Received: {given}")
        is_large = any(len(array) > _MOST_ROWS for array in arrays.values() if array.ndim)
        runners = self._take(deadline)
        try:
            runners = runners or self._open()
            answer: dict[str, Array] = runners[signature](**arrays)
            return answer
        finally:
            self._idle.put(None if is_large else runners)

    def _take(self, deadline: float | None) -> dict[str, Any] | None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            return self._idle.get(timeout=left)
        except queue.Empty as error:
            raise TimeoutError(f"All interpreters of {FILE_NAME} were busy until the deadline.") from error


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
    between: Set[str]
    """The operations that LiteRT stands for; whoever feeds one means TensorFlow's graph."""

    def fits(self, feeds: Mapping[str, Array]) -> bool:
        """Tell whether nothing is fed behind the cut."""
        return all(tensor in self.inputs.values() or _operation(tensor) not in self.between for tensor in feeds)


class LiteGraph:
    """The graph of a SavedModel, a part of which LiteRT computes. Calls may come from many threads."""

    def __init__(self, path: Path, signatures: Mapping[str, Any], graph_def: Any, interpreters: int = 1) -> None:
        """Open ``path``, the ``model.tflite`` beside a SavedModel.

        Parameters
        ----------
        signatures
            The SavedModel's, each a ``SignatureDef`` of whichever protocol buffers.
        graph_def
            The SavedModel's ``GraphDef``; nothing of it is kept.
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
        sources = {node.name: tuple(node.input) for node in graph_def.node}
        self._cuts = [self._cut(path, name, signatures, sources) for name in self._model.inputs]

    def run(
        self,
        feeds: Mapping[str, Array],
        fetches: Sequence[str],
        run_graph: RunGraph,
        timeout_seconds: float | None = None,
    ) -> list[Array]:
        """Compute tensors of the graph; ``run_graph`` computes what LiteRT does not, and comes first.

        A call that feeds an empty array is ``run_graph``'s alone: in int8 LiteRT fails on an empty batch.

        Parameters
        ----------
        timeout_seconds
            How long the whole may take; a call that LiteRT has begun is not stopped.

        Raises
        ------
        ValueError
            If what is fed where the graph is cut has another type or shape.
        TimeoutError
            If no interpreter is idle in time.
        RuntimeError
            If LiteRT fails.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        cuts = self._chosen(feeds, fetches)
        if not cuts or any(array.size == 0 for array in feeds.values()):
            return list(run_graph(feeds, fetches))
        ours = {name for cut in cuts for name in cut.outputs.values()}
        needed = {name for cut in cuts for name in cut.inputs.values()} - set(feeds)
        theirs = sorted(needed | (set(fetches) - ours))
        values = dict(feeds)
        if theirs:
            values.update(zip(theirs, run_graph(feeds, theirs), strict=True))
        for cut in cuts:
            arrays = {name: values[tensor] for name, tensor in cut.inputs.items()}
            answer = self._model.run(cut.signature, arrays, deadline)
            values.update((tensor, answer[name]) for name, tensor in cut.outputs.items())
        return [values[name] for name in fetches]

    def _chosen(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[_Cut]:
        """Return one cut for each tensor that LiteRT can compute, rather one whose inputs are fed."""
        missing, chosen = set(fetches), []
        for cut in sorted(self._cuts, key=lambda cut: not feeds.keys() >= set(cut.inputs.values())):
            if cut.fits(feeds) and not missing.isdisjoint(cut.outputs.values()):
                chosen.append(cut)
                missing -= set(cut.outputs.values())
        return chosen

    def _cut(self, path: Path, name: str, signatures: Mapping[str, Any], sources: Mapping[str, Sequence[str]]) -> _Cut:
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
        return _Cut(name, inputs, outputs, _between(sources, set(inputs.values()), outputs.values()))


def _between(sources: Mapping[str, Sequence[str]], starts: Set[str], ends: Iterable[str]) -> Set[str]:
    """Return the operations that ``ends`` need when ``starts`` are given; ``sources``: what each operation takes."""
    found: set[str] = set()
    left = list(ends)
    while left:
        tensor = left.pop()
        operation = _operation(tensor)
        if tensor in starts or operation in found:
            continue
        found.add(operation)
        # As a GraphDef writes them: "x" is the tensor "x:0", "^x" that x comes first.
        names = [source.removeprefix("^") for source in sources.get(operation, ())]
        left += [name if ":" in name else f"{name}:0" for name in names]
    return found


def _operation(tensor: str) -> str:
    return tensor.partition(":")[0]


def _tensor(info: Any) -> Tensor | None:
    """Read a ``TensorInfo``; None if its type or shape is none that LiteRT could have."""
    try:
        dtype = dtype_of(info.dtype)
    except ValueError:
        return None
    return None if info.tensor_shape.unknown_rank else Tensor(dtype, tuple(dim.size for dim in info.tensor_shape.dim))


def _told(signature: Mapping[str, Mapping[str, Tensor | None]]) -> str:
    return ", ".join(f"{name}: {tensor}" for side in signature.values() for name, tensor in sorted(side.items()))
