"""The pass `shapes`: what is known of the types of all values, by the rules of the table."""

from __future__ import annotations

from fastconv.graph.graph import Graph
from fastconv.graph.operations.table import Type
from fastconv.graph.passes.editor import Editor
from fastconv.graph.passes.types import learn, refine


def shapes(editor: Editor) -> None:
    """Find dtypes and shapes from those of the inputs; what a branch or a body is given from around it included."""
    found = _shapes(editor.graph)
    if found:
        editor.say(f"more is known of {found} value{'s'[: found > 1]}")


def _shapes(graph: Graph) -> int:
    found = 0
    for node in graph.nodes:
        for name, body in node.graphs().items() if node.captures else ():
            captured = node.captures[name]
            for outside, within in zip(
                captured, body.inputs[len(body.inputs) - len(captured) :], strict=True
            ):
                found += refine(within, Type(outside.dtype, outside.shape))
            if node.operation != "fastconv.Elementwise":
                found += _shapes(body)
        found += learn(node)
    return found
