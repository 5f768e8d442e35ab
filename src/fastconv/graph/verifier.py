"""Whether a graph is one: every value is made once, before it is read, by an operation that takes what it is given."""

from __future__ import annotations

from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.operations import TABLE


class GraphError(ValueError):
    """A graph that cannot run: which node, and what is wrong with it."""


def verify(graph: Graph) -> None:
    """Raise `GraphError` for the first fault of a graph, or of one within it.

    Parameters
    ----------
    graph : Graph
    """
    known: set[int] = set()
    for value in graph.inputs:
        _define(value, known, "an input of the graph")
    for node in graph.nodes:
        _check(node, known)
        for output in node.outputs:
            if output is not None:
                _define(output, known, str(node))
    for value in graph.outputs:
        if not value.is_constant and id(value) not in known:
            raise GraphError(f"output {value.name!r} of the graph is made by nothing")


def _define(value: Value, known: set[int], by: str) -> None:
    if value.is_constant or id(value) in known:
        raise GraphError(f"{by}: {value.name!r} is made twice")
    known.add(id(value))


def _check(node: Node, known: set[int]) -> None:
    operation = TABLE.get(node.operation)
    if operation is None:
        raise GraphError(f"{node}: no operation has that name")
    problem = operation.refusal(len(node.inputs), node.attributes)
    if problem:
        raise GraphError(f"{node}: {problem}")
    for value in node.reads():
        if not value.is_constant and id(value) not in known:
            raise GraphError(f"{node}: reads {value.name!r} before it is made")
    graphs = node.graphs()
    if graphs.keys() != node.captures.keys():
        raise GraphError(f"{node}: captures are given for {[*node.captures]}, but its graphs are {[*graphs]}")
    for name, inner in graphs.items():
        if len(node.captures[name]) > len(inner.inputs):
            raise GraphError(f"{node}: more captures than {name} has inputs")
        verify(inner)
