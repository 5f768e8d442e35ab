"""Copies of graphs: all nodes and values are new, but constants are the same. Made by `optimise`."""

from __future__ import annotations

from typing import Any

from fastconv.graph.graph import Graph, Node, Size, Value


def copied(graph: Graph) -> Graph:
    """A copy that knows the types of its inputs only. What a graph says of its other values is not taken for true: a
    file may say anything."""
    values: dict[Value, Value] = {}

    def new(value: Value, dtype: Any = None, shape: tuple[Size, ...] | None = None) -> Value:
        values[value] = Value(value.name, dtype, shape, None, value.element)
        return values[value]

    def old(value: Value) -> Value:
        return value if value.is_constant else values[value]

    inputs = [new(value, value.dtype, value.shape) for value in graph.inputs]
    nodes = [
        Node(
            node.operation,
            [None if value is None else old(value) for value in node.inputs],
            [None if value is None else new(value) for value in node.outputs],
            _attributes(node),
            {name: [old(value) for value in given] for name, given in node.captures.items()},
            node.name,
            node.place,
        )
        for node in graph.nodes
    ]
    return Graph(inputs, [old(value) for value in graph.outputs], nodes, graph.name)


def _attributes(node: Node) -> dict[str, Any]:
    """Nobody changes those of a node; but graphs are."""
    if not node.captures:
        return node.attributes
    return {
        name: _body(value) if isinstance(value, Graph) else value for name, value in node.attributes.items()
    }


def _body(graph: Graph) -> Graph:
    """Of what it is given, only the node around it knows the types."""
    body = copied(graph)
    for value in body.inputs:
        value.dtype = value.shape = None
    return body


def distinct(graph: Graph) -> None:
    """Let every size of an input that is no number be a symbol of its own: equal symbols are equal sizes then, and
    equal formulas of them, too."""
    seen: set[str] = set()
    for value in graph.inputs:
        if value.shape is not None:
            value.shape = tuple(_symbol(size, seen) for size in value.shape)


def _symbol(size: Size, seen: set[str]) -> Size:
    if isinstance(size, int):
        return size
    symbol = size if size is not None and size.isidentifier() else "size"
    while symbol in seen:
        symbol += "_"
    seen.add(symbol)
    return symbol
