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
    known: set[Value] = set()
    for value in graph.inputs:
        if value.constant is not None or value in known:
            raise GraphError(f"an input of the graph: {value.name!r} is made twice")
        known.add(value)
    for node in graph.nodes:
        if node not in allowed:
            _check(node, allowed)
        # Passes let this run time and again: no calls for what is as it should be.
        for read in node.reads() if node.captures else node.inputs:
            if read is not None and read.constant is None and read not in known:
                raise GraphError(f"{node}: reads {read.name!r} before it is made")
        for output in node.outputs:
            if output is None:
                continue
            if output.constant is not None or output in known:
                raise GraphError(f"{node}: {output.name!r} is made twice")
            known.add(output)
    for value in graph.outputs:
        if value.constant is None and value not in known:
            raise GraphError(f"output {value.name!r} of the graph is made by nothing")


def _check(node: Node, allowed: set[Node]) -> None:
    operation = TABLE.get(node.operation)
    if operation is None:
        raise GraphError(f"{node}: no operation has that name")
    problem = operation.refusal(len(node.inputs), node.attributes)
    if problem:
        raise GraphError(f"{node}: {problem}")
    graphs = node.graphs()
    if not graphs and not node.captures:
        allowed.add(node)
    if graphs.keys() != node.captures.keys():
        raise GraphError(f"{node}: captures are given for {[*node.captures]}, but its graphs are {[*graphs]}")
    for name, inner in graphs.items():
        if len(node.captures[name]) > len(inner.inputs):
            raise GraphError(f"{node}: more captures than {name} has inputs")
        verify(inner, allowed)
