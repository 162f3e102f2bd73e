"""A loaded SavedModel: its signatures, and the session that runs them.

This is how TensorFlow Serving itself runs models, so a SavedModel that fails there fails here,
with the same message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from scenery import wire
from scenery.wire.tensors import Array
from serving.errors import not_found
from serving.runtime.session import Session

DEFAULT_SIGNATURE = "serving_default"
"""The signature of a request that names none."""

_VARIABLE_OPERATIONS = {"VarHandleOp", "VariableV2", "Variable"}


class Runner(Protocol):
    """What runs a graph: a :class:`Session`, or what merges several requests into one run of it."""

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_seconds: float | None = None
    ) -> list[Array]:
        """Run the graph; see :meth:`serving.runtime.session.Session.run`."""

    def close(self) -> None:
        """Free it; nothing may be running."""


@dataclass(frozen=True)
class SessionOptions:
    """How SavedModels are loaded."""

    tags: tuple[str, ...] = ("serve",)
    config: wire.ConfigProto = field(default_factory=wire.ConfigProto)


class SavedModel:
    """A SavedModel's graph in a session of its own. Calls may come from many threads."""

    def __init__(self, path: Path, options: SessionOptions | None = None) -> None:
        """Load ``path``; raises :class:`ServingError` if TensorFlow cannot, or a part of it is missing."""
        options = options or SessionOptions()
        session = Session(path, options.tags, options.config)
        self.runner: Runner = session
        # Copies: a part of a message keeps the whole of it in memory, constants and all.
        self.signatures: dict[str, wire.SignatureDef] = {
            name: wire.SignatureDef.FromString(signature.SerializeToString())
            for name, signature in session.meta_graph.signature_def.items()
        }
        try:
            _require_variables(path, session.meta_graph)
        except BaseException:
            session.close()
            raise
        del session.meta_graph

    def run_signature(
        self,
        name: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str] = (),
        timeout_seconds: float | None = None,
    ) -> dict[str, Array]:
        """Run a signature.

        Parameters
        ----------
        name
            One of :attr:`signatures`.
        inputs
            An array for each input of the signature, by its alias.
        outputs
            The aliases of the outputs to compute; by default all.
        timeout_seconds
            After how long to give up.

        Raises
        ------
        ServingError
            With TensorFlow's own code and message.
        """
        signature = self.signatures[name]
        wanted = outputs or sorted(signature.outputs)
        feeds = {signature.inputs[alias].name: inputs[alias] for alias in sorted(inputs)}
        fetches = [signature.outputs[alias].name for alias in wanted]
        return dict(zip(wanted, self.runner.run(feeds, fetches, timeout_seconds), strict=True))

    def close(self) -> None:
        """Free the session; nothing may be running in it."""
        self.runner.close()


def _require_variables(path: Path, meta_graph: wire.MetaGraphDef) -> None:
    """Refuse a graph whose variables were not copied; TensorFlow would load it, and fail at every request."""
    index = path / "variables" / "variables.index"
    if index.is_file() or not meta_graph.saver_def.restore_op_name:
        return
    graph = meta_graph.graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    if any(node.op in _VARIABLE_OPERATIONS for node in nodes):
        raise not_found(f"{index}; No such file or directory. The graph has variables: was the folder copied whole?")
