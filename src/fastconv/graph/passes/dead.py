"""The pass `dead`: what nobody reads."""

from __future__ import annotations

from fastconv.graph.graph import Node
from fastconv.graph.passes.editor import Editor, told


def dead(editor: Editor) -> None:
    """Leave out nodes whose results are not read, and the places of maxima that are not."""
    for node in reversed(list(editor.nodes())):
        if not any(output is not None and editor.is_read(output) for output in node.outputs):
            editor.remove(node, line=f"{told(node)} is not read")
        elif node.operation == "MaxPool" and len(node.outputs) > 1:
            places = node.outputs[1]
            if places is None or not editor.is_read(places):
                new = Node(node.operation, node.inputs, node.outputs[:1], node.attributes, {}, node.name)
                editor.replace(node, new, line=f"the places of {told(node)} are not read")
