"""``--prefer_tflite_model``: a session whose graph LiteRT computes in part, by the version's ``model.tflite``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet

from scenery import wire
from scenery.errors import ConfigurationError, VersionError
from scenery.lite import FILE_NAME, LiteGraph, require_runtime
from scenery.wire.tensors import Array
from serving.errors import ServingError, invalid_argument, not_found
from serving.saved_model import Runner


def check_runtime() -> None:
    """Raise :class:`ServingError` if LiteRT is not installed."""
    try:
        require_runtime()
    except ConfigurationError as error:
        raise ServingError("FAILED_PRECONDITION", f"--prefer_tflite_model is given. {error}") from error


class LiteSession:
    """A :class:`Runner` that leaves to another what LiteRT does not compute. Runs may come from many threads."""

    def __init__(self, runner: Runner, version: Path, tags: Collection[str], interpreters: int) -> None:
        """Open a version's ``model.tflite``; ``runner`` is this session's own from now on.

        Parameters
        ----------
        tags
            Those of the meta graph that ``runner`` runs.

        Raises
        ------
        ServingError
            If the file is damaged, or its signatures are not those of this SavedModel.
        """
        self._runner = runner
        meta_graph = _read_meta_graph(version, tags)
        try:
            self._graph = LiteGraph(version / FILE_NAME, meta_graph.signature_def, meta_graph.graph_def, interpreters)
        except VersionError as error:
            raise invalid_argument(str(error)) from error

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_seconds: float | None = None
    ) -> list[Array]:
        """Run the graph; see :meth:`serving.runtime.session.Session.run`.

        The timeout holds for TensorFlow's part, and for waiting until LiteRT can begin: it cannot be stopped.
        """
        run_graph = partial(self._runner.run, timeout_seconds=timeout_seconds)
        try:
            return self._graph.run(feeds, fetches, run_graph, timeout_seconds)
        except TimeoutError as error:
            raise ServingError("DEADLINE_EXCEEDED", str(error)) from error
        except ValueError as error:
            raise invalid_argument(str(error)) from error
        except RuntimeError as error:
            raise ServingError("INTERNAL", f"LiteRT failed: {error}") from error

    def close(self) -> None:
        """Free it; nothing may be running."""
        del self._graph  # first: when a Session is closed, freed memory goes back to the system
        self._runner.close()


def _read_meta_graph(version: Path, tags: Collection[str]) -> Any:
    """Read a part of a ``SavedModel`` message, which is its field 2; the descriptor set has no class for the whole."""
    try:
        content = (version / "saved_model.pb").read_bytes()
    except OSError as error:
        raise not_found(
            f"{version}: saved_model.pb cannot be read ({error.strerror}), and {FILE_NAME} is computed with no other "
            "form of a SavedModel. Write it as saved_model.pb, or take the file away."
        ) from error
    fields: Any = UnknownFieldSet(Empty.FromString(content))  # its types leave out that it can be iterated over
    meta_graphs = (wire.MetaGraphDef.FromString(field.data) for field in fields if field.field_number == 2)
    return next(each for each in meta_graphs if set(each.meta_info_def.tags) == set(tags))
