"""Whether a graph is one: every value is made once, before it is read, by an operation that takes what it is given."""

from __future__ import annotations

from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.operations import TABLE


class GraphError(ValueError):
    """A graph that cannot run: which node, and what is wrong with it."""


def verify(graph: Graph, allowed: set[Node] | None = None) -> None:
    """Raise `GraphError` for the first fault of a graph, or of one within it.

    Parameters
    ----------
    graph : Graph
    allowed : set of Node, optional
        Nodes without graphs whose operation, attributes and number of inputs are known to go together: this adds those
        that it finds so, for whoever verifies a graph again after a few changes. No attribute of these may change.
    """
    allowed = set() if allowed is None else allowed
    known: set[int] = set()
    for value in graph.inputs:
        if not _is_new(value, known):
            raise GraphError(f"an input of the graph: {value.name!r} is made twice")
    for node in graph.nodes:
        if node in allowed:
            _check_reads(node, known)
        else:
            _check(node, known, allowed)
        for output in node.outputs:
            if output is not None and not _is_new(output, known):
                raise GraphError(f"{node}: {output.name!r} is made twice")
    for value in graph.outputs:
        if not value.is_constant and id(value) not in known:
            raise GraphError(f"output {value.name!r} of the graph is made by nothing")


def _is_new(value: Value, known: set[int]) -> bool:
    if value.constant is not None or id(value) in known:
        return False
    known.add(id(value))
    return True


def _check(node: Node, known: set[int], allowed: set[Node]) -> None:
    operation = TABLE.get(node.operation)
    if operation is None:
        raise GraphError(f"{node}: no operation has that name")
    problem = operation.refusal(len(node.inputs), node.attributes)
    if problem:
        raise GraphError(f"{node}: {problem}")
    _check_reads(node, known)
    graphs = node.graphs()
    if not graphs and not node.captures:
        allowed.add(node)
    if graphs.keys() != node.captures.keys():
        raise GraphError(f"{node}: captures are given for {[*node.captures]}, but its graphs are {[*graphs]}")
    for name, inner in graphs.items():
        if len(node.captures[name]) > len(inner.inputs):
            raise GraphError(f"{node}: more captures than {name} has inputs")
        verify(inner, allowed)


def _check_reads(node: Node, known: set[int]) -> None:
    for value in node.reads() if node.captures else node.inputs:
        if value is not None and value.constant is None and id(value) not in known:
            raise GraphError(f"{node}: reads {value.name!r} before it is made")
