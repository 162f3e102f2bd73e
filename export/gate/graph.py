"""A graph and its functions as names that lead to names: what may run when something else does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Place = tuple[str, str]
"""``("node", name)`` in the graph itself, or ``("function", name)`` for all that is in a function."""


def nodes_of(graph_def: Any) -> Iterator[tuple[str | None, Any]]:
    """Yield every node with the name of the function that it is in."""
    for node in graph_def.node:
        yield None, node
    for function in graph_def.library.function:
        for node in function.node_def:
            yield function.signature.name, node


@dataclass(frozen=True)
class Graph:
    """A graph as names that lead to names. A name that is taken twice leads wherever either does."""

    nodes: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    functions: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    leads_to: dict[Place, set[Place]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, graph_def: Any) -> Graph:
        """Read a ``GraphDef``."""
        graph = cls()
        for function in graph_def.library.function:
            graph.functions[function.signature.name].append(function)
        for node in graph_def.node:
            graph.nodes[node.name].append(node)
        for function, node in nodes_of(graph_def):
            graph._add_node(function, node)
        graph._add_library(graph_def.library)
        return graph

    def reached(self, roots: Iterable[Place]) -> set[Place]:
        """Return all that may run when the roots do: their inputs, functions, and those of these in turn."""
        reached: set[Place] = set()
        pending = list(roots)
        while pending:
            place = pending.pop()
            if place not in reached:
                reached.add(place)
                pending.extend(self.leads_to.get(place, ()))
        return reached

    def _add_node(self, function: str | None, node: Any) -> None:
        places = self.named_in(node.attr.values())
        if node.op in self.functions:
            places.add(("function", node.op))
        if function is None:  # in a function every node counts, so what feeds it does not matter
            places |= {node_of(tensor) for tensor in node.input}
        self.leads_to[place_of(function, node)] |= places

    def _add_library(self, library: Any) -> None:
        """Add what leads from function to function: its attributes, its gradient, and those that may replace it.

        TensorFlow's optimiser may replace a function by another that claims to implement the same interface.
        """
        interfaces: dict[bytes, set[Place]] = defaultdict(set)
        for function in library.function:
            place = ("function", function.signature.name)
            self.leads_to[place] |= self.named_in(function.attr.values())
            interfaces[function.attr["api_implements"].s if "api_implements" in function.attr else b""].add(place)
        for interface, places in interfaces.items():
            for place in places if interface else ():
                self.leads_to[place] |= places
        for gradient in library.gradient:
            self.leads_to["function", gradient.function_name].add(("function", gradient.gradient_func))

    def named_in(self, attributes: Iterable[Any]) -> set[Place]:
        """Return the functions that attributes name, as a function or as a mere string, at any depth."""
        names: set[str] = set()
        pending = list(attributes)
        while pending:
            value = pending.pop()
            functions = [*value.list.func, value.func] if value.WhichOneof("value") in ("func", "list") else []
            names.update(function.name for function in functions)
            names.update(string.decode(errors="replace") for string in (*value.list.s, value.s))
            pending.extend(inner for function in functions for inner in function.attr.values())
        return {("function", name) for name in names if name in self.functions}


def place_of(function: str | None, node: Any) -> Place:
    """Return where a node of a function, or of the graph itself if None, counts."""
    return ("node", node.name) if function is None else ("function", function)


def node_of(tensor: str) -> Place:
    """Return the node of ``name``, ``name:0`` (a tensor) or ``^name`` (a control input)."""
    return "node", tensor.removeprefix("^").split(":")[0]
