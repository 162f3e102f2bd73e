"""Which TensorFlow operations a SavedModel may contain before it is published.

A SavedModel is a program: whoever serves it runs it, and TensorFlow has operations that read and
write files. ``operations.txt`` lists those that only compute; every other one is refused, in the
graph and in every function of its library, whether or not something calls it.

The saver is the exception, for a model with variables has to save and restore them. Its
operations may stand where nothing but the saver leads:

* those that restore run while a model server loads the version, so they may lead to nothing that
  saves, and may read only the variables that the model server names;
* those that save run in no model server.

The file is parsed as a protocol buffer. Nothing is loaded, and no operation runs.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from export.gate.graph import Graph, nodes_of
from export.gate.saver import SAVER_ONLY, Saver
from scenery.errors import ExportError

_FILE = "saved_model.pb"
_OTHER_FILES = ("saved_model.cpb", "saved_model.pbtxt")
_SERVE = "serve"

_LIKE_AN_OPERATION = re.compile(r"_*[A-Z][A-Za-z0-9>]*")

_NOT_LISTED = "is not on the list of operations that only compute. Export a graph without it"
_NOT_IN_SAVER = (
    "reads or writes checkpoints, and is permitted in the saver alone: reached from it, from no signature "
    "and from nothing else that runs. Export the model again, with TensorFlow's own saver"
)
_NAMED_LIKE_AN_OPERATION = "is a function with a name that an operation could have. Rename it, with an underscore"


@dataclass(frozen=True)
class Refused:
    """An operation that must not be published, and where it stands."""

    operation: str
    node: str
    function: str | None
    """The function of the library that it is in; None for the graph itself."""
    why: str = _NOT_LISTED

    def __str__(self) -> str:
        """Return one sentence; names are quoted, because the model chose them."""
        return f"{self.operation!r} ({self._where()}) {self.why}."

    def _where(self) -> str:
        if self.function is None:
            return f"node {self.node!r} of the graph"
        if not self.node:
            return "in the graph's library"
        return f"node {self.node!r} of the function {self.function!r}"


@functools.cache
def allowed() -> frozenset[str]:
    """Return the names of the operations that only compute, from ``operations.txt``."""
    lines = Path(__file__).with_name("operations.txt").read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def read_saved_model(folder: Path) -> Any:
    """Parse a version's ``saved_model.pb``, and nothing else.

    Returns
    -------
    The ``SavedModel`` protocol buffer.

    Raises
    ------
    ExportError
        If it is missing, damaged or not to be served, or if TensorFlow could load another file instead.
    """
    for name in _OTHER_FILES:
        if (folder / name).exists() or (folder / name).is_symlink():
            raise ExportError(
                f"{folder} has a {name} beside its {_FILE}, which TensorFlow could load instead; only {_FILE} is "
                "looked into. Remove the other file, or export again."
            )
    saved_model = _parse(folder / _FILE)
    tags = sorted({tag for meta_graph in saved_model.meta_graphs for tag in meta_graph.meta_info_def.tags})
    if _SERVE not in tags:
        raise ExportError(
            f"{folder / _FILE} has no graph with the tag {_SERVE!r}, which a model server asks for. "
            f"Export a SavedModel for serving. Received: {tags}"
        )
    return saved_model


def _parse(path: Path) -> Any:
    try:
        return saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except FileNotFoundError as error:
        raise ExportError(f"{path} is missing. Name a folder that holds an exported SavedModel.") from error
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}. Name a folder with a SavedModel.") from error
    except DecodeError as error:
        raise ExportError(f"{path} is no SavedModel, or is damaged: {error}. Export it again.") from error


def operations_of(saved_model: Any) -> int:
    """Return how many nodes its graphs and their functions have."""
    return sum(1 for meta_graph in saved_model.meta_graphs for _ in nodes_of(meta_graph.graph_def))


def refused_operations(saved_model: Any) -> list[Refused]:
    """Return what must not be published, of every graph and every function in it; an empty list is consent."""
    return [refused for meta_graph in saved_model.meta_graphs for refused in _refused(meta_graph)]


def _refused(meta_graph: Any) -> Iterator[Refused]:
    graph = Graph.of(meta_graph.graph_def)
    saver = Saver.of(meta_graph, graph)
    for name in graph.functions:
        if _LIKE_AN_OPERATION.fullmatch(name) or name in allowed() | SAVER_ONLY:
            yield Refused(name, "", name, _NAMED_LIKE_AN_OPERATION)
    for function, node in nodes_of(meta_graph.graph_def):
        if node.op in SAVER_ONLY:
            if not saver.may_hold(function, node):
                yield Refused(node.op, node.name, function, _NOT_IN_SAVER)
        elif node.op not in allowed() and node.op not in graph.functions:
            yield Refused(node.op, node.name, function)
