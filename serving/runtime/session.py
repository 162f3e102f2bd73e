"""A ``Session``: a SavedModel's graph, loaded and run as TensorFlow Serving does it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from scenery import wire
from scenery.wire.tensors import Array
from serving.errors import invalid_argument
from serving.runtime import library
from serving.runtime.tensors import new_tensor, to_array


class Session:
    """A graph and its state. Runs may come from many threads; nothing may run when it is closed."""

    def __init__(self, path: Path, tags: Sequence[str], config: wire.ConfigProto | None = None) -> None:
        """Load the meta graph with ``tags`` from the SavedModel in ``path``.

        Raises
        ------
        ServingError
            With TensorFlow's own code and message.
        """
        self._outputs: dict[str, library.Output] = {}
        self._session: Any = None
        self._graph = library.new_graph()
        meta_graph = library.new_buffer()
        try:
            self._session = self._load(path, tags, config or wire.ConfigProto(), meta_graph)
            buffer = meta_graph.contents
            self.meta_graph = wire.MetaGraphDef.FromString(ctypes.string_at(buffer.data, buffer.length))
        except BaseException:
            if self._session:
                self._delete()
            else:
                library.delete_graph(self._graph)
            raise
        finally:
            library.delete_buffer(meta_graph)

    def _load(self, path: Path, tags: Sequence[str], config: wire.ConfigProto, meta_graph: Any) -> Any:
        options = library.new_session_options()
        names = [tag.encode() for tag in tags]
        content = config.SerializeToString()
        try:
            with library.checked() as status:
                library.set_config(options, content, len(content), status)
            with library.checked() as status:
                return library.load_session(
                    options,
                    None,
                    os.fsencode(path),
                    (ctypes.c_char_p * len(names))(*names),
                    len(names),
                    self._graph,
                    meta_graph,
                    status,
                )
        finally:
            library.delete_session_options(options)

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_seconds: float | None = None
    ) -> list[Array]:
        """Run the graph.

        Parameters
        ----------
        feeds
            Arrays by the names of the tensors that they stand for, such as ``x:0``.
        fetches
            Names of the tensors to compute.
        timeout_seconds
            After how long to give up.

        Raises
        ------
        ServingError
            With TensorFlow's own code and message; ``DEADLINE_EXCEEDED`` after the timeout.
        """
        inputs = self._resolved(feeds, "FeedInputs: unable to find feed output")
        outputs = self._resolved(fetches, "FetchOutputs: unable to find fetch output")
        fed = (ctypes.c_void_p * len(feeds))()
        fetched = (ctypes.c_void_p * len(fetches))()
        options = _run_options(timeout_seconds)
        try:
            for place, array in enumerate(feeds.values()):
                fed[place] = new_tensor(array)
            with library.checked() as status:
                library.session_run(
                    self._session,
                    options,
                    *(inputs, fed, len(fed)),
                    *(outputs, fetched, len(fetched)),
                    *(None, 0),
                    *(None, status),
                )
            return [to_array(tensor) for tensor in fetched if tensor]
        finally:
            for tensor in (*fetched, *fed):
                if tensor:
                    library.delete_tensor(tensor)
            if options:
                library.delete_buffer(options)

    def close(self) -> None:
        """Free the graph and its state."""
        try:
            with library.checked() as status:
                library.close_session(self._session, status)
        finally:
            self._delete()

    def _delete(self) -> None:
        try:
            with library.checked() as status:
                library.delete_session(self._session, status)
        finally:
            library.delete_graph(self._graph)
            library.release_memory()

    def _resolved(self, names: Collection[str], problem: str) -> Any:
        """Look names up in the graph, each once; raises :class:`ServingError` if one is not there."""
        for name in names:
            if name not in self._outputs:
                self._outputs[name] = self._find(name, problem)
        return (library.Output * len(names))(*(self._outputs[name] for name in names))

    def _find(self, name: str, problem: str) -> library.Output:
        operation_name, _, index = name.rpartition(":")
        operation = library.graph_operation(self._graph, operation_name.encode())
        if not operation or not index.isdecimal() or int(index) >= library.operation_outputs(operation):
            raise invalid_argument(f"{problem} {name}")
        return library.Output(operation, int(index))


def _run_options(timeout_seconds: float | None) -> Any:
    if timeout_seconds is None:
        return None
    options = wire.RunOptions(timeout_in_ms=max(1, int(timeout_seconds * 1e3)))
    content = options.SerializeToString()
    return library.new_buffer_from(content, len(content))
