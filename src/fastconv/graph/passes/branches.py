"""The pass `branches`: what is known around a branch or loop is known within; a branch that is always taken is none."""

from __future__ import annotations

from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.passes.editor import Editor, told


def branches(editor: Editor) -> None:
    """Constants become known to the graphs in nodes, what these do not read is no longer given to them, and an If whose
    condition is a constant is replaced by its branch."""
    for node in editor.nodes():
        condition = node.inputs[0] if node.operation == "If" else None
        if condition is not None and condition.is_constant and condition.constant.size == 1:
            _take(node, "then_branch" if condition.constant.item() else "else_branch", editor)
        elif any(node.captures.values()):
            _tell(node, editor)


def _tell(node: Node, editor: Editor) -> None:
    captures = {name: _told(body, node.captures[name]) for name, body in node.graphs().items()}
    less = sum(len(node.captures[name]) - len(kept) for name, kept in captures.items())
    if less:
        new = Node(node.operation, node.inputs, node.outputs, node.attributes, captures, node.name)
        editor.replace(node, new, line=f"{told(node)}: {less} values need not be given to its graphs")


def _told(body: Graph, captured: list[Value]) -> list[Value]:
    """What is given to a graph, without what it does not read; constants come to be in it."""
    within, first = Editor(body), len(body.inputs) - len(captured)
    given = list(zip(captured, body.inputs[first:], strict=True))
    for outside, inside in given:
        if outside.is_constant:
            within.substitute(inside, outside)
    kept = [(outside, inside) for outside, inside in given if within.is_read(inside)]
    body.inputs[first:] = [inside for _, inside in kept]
    return [outside for outside, _ in kept]


def _take(node: Node, name: str, editor: Editor) -> None:
    """Write the branch out in the node's place."""
    body, captured = node.graphs()[name], node.captures[name]
    known = dict(zip(body.inputs, captured, strict=True))

    def outer(value: Value) -> Value:
        return known.get(value, value)

    nodes = [
        Node(
            inner.operation,
            [None if value is None else outer(value) for value in inner.inputs],
            inner.outputs,
            inner.attributes,
            {key: [outer(value) for value in values] for key, values in inner.captures.items()},
            inner.name,
        )
        for inner in body.nodes
    ]
    nodes += [
        Node("Identity", [outer(value)], [output])
        for value, output in zip(body.outputs, node.outputs, strict=True)
        if output is not None
    ]
    editor.replace(node, *nodes, line=f"{told(node)} is its {name}")
