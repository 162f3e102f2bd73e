"""Where the operations that save and restore may stand: where nothing but the saver leads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from export.gate.graph import Graph, Place, node_of, place_of

SAVING = frozenset({"MergeV2Checkpoints", "SaveV2", "ShardedFilename"})
RESTORING = frozenset({"RestoreV2"})

SAVER_ONLY = SAVING | RESTORING
"""Operations that are permitted where nothing but the saver leads, and refused elsewhere."""

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


@dataclass(frozen=True)
class Saver:
    """Where the operations of a saver may stand."""

    graph: Graph
    filename: str
    """The node that a model server feeds with the path of the version's own variables."""
    saving: set[Place]
    restoring: set[Place]

    @classmethod
    def of(cls, meta_graph: Any, graph: Graph) -> Saver:
        """Find where the saver of a ``MetaGraphDef`` leads, and nothing else does."""
        saver_def = meta_graph.saver_def
        others = graph.reached(_roots(meta_graph))
        saving = graph.reached([node_of(saver_def.save_tensor_name)])
        restoring = graph.reached([node_of(saver_def.restore_op_name)])
        _, filename = node_of(saver_def.filename_tensor_name)
        return cls(graph, filename, saving - restoring - others, restoring - saving - others)

    def may_hold(self, function: str | None, node: Any) -> bool:
        """Tell whether one of the saver's operations stands where nothing but the saver leads."""
        place = place_of(function, node)
        if node.op in SAVING:
            return place in self.saving
        return place in self.restoring and bool(node.input) and self._is_fed(function, node.input[0])

    def _is_fed(self, function: str | None, tensor: str) -> bool:
        """Tell whether a path is always the one that a model server feeds, whoever calls the function."""
        seen: set[tuple[str | None, str]] = set()
        pending = [(function, tensor)]
        while pending:
            at = pending.pop()
            if at in seen or at == (None, self.filename) or at == (None, f"{self.filename}:0"):
                continue
            seen.add(at)
            sources = self._sources(*at)
            if not sources:
                return False
            pending.extend(sources)
        return True

    def _sources(self, function: str | None, tensor: str) -> list[tuple[str | None, str]]:
        """Return the tensors that a tensor is passed on from, unchanged; none if it is made here."""
        if function is None:
            nodes = self.graph.nodes.get(node_of(tensor)[1], [])
            passed_on = len(nodes) == 1 and nodes[0].op == "Identity"
            return [(None, nodes[0].input[0])] if passed_on and nodes[0].input else []
        arguments = [argument.name for argument in self.graph.functions[function][0].signature.input_arg]
        if tensor not in arguments or len(self.graph.functions[function]) > 1:
            return []
        return self._passed_by_callers(function, arguments.index(tensor))

    def _passed_by_callers(self, function: str, index: int) -> list[tuple[str | None, str]]:
        """Return what calls pass as an argument; none if something else than a plain call names the function."""
        passed: list[tuple[str | None, str]] = []
        for caller, node in self._all_nodes():
            if ("function", function) in self.graph.named_in(node.attr.values()) or node.op == function:
                if node.op not in _CALLS or index >= len(node.input):
                    return []
                passed.append((caller, node.input[index]))
        return passed

    def _all_nodes(self) -> Iterator[tuple[str | None, Any]]:
        for nodes in self.graph.nodes.values():
            for node in nodes:
                yield None, node
        for name, functions in self.graph.functions.items():
            for function in functions:
                for node in function.node_def:
                    yield name, node


def _roots(meta_graph: Any) -> Iterator[Place]:
    """Yield what runs besides the saver: signatures, initialisers, assets, and what a loader in Python may call."""
    infos = [asset.tensor_info for asset in meta_graph.asset_file_def]
    for signature in meta_graph.signature_def.values():
        infos += [*signature.inputs.values(), *signature.outputs.values()]
    for tensor in _tensors(infos):
        yield node_of(tensor)
    for collection in meta_graph.collection_def.values():
        for name in collection.node_list.value:
            yield node_of(name)
    for function in meta_graph.object_graph_def.concrete_functions:
        yield "function", function


def _tensors(infos: list[Any]) -> Iterator[str]:
    """Yield the names of the tensors that signatures are made of, those of composite ones too."""
    pending = list(infos)
    while pending:
        info = pending.pop()
        sparse = info.coo_sparse
        yield from (info.name, sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
        pending.extend(info.composite_tensor.components)
