"""The pass `reshapes`: what leaves elements in their order, as one Reshape."""

from __future__ import annotations

import math

import numpy as np

from fastconv.graph.graph import Node, Value
from fastconv.graph.passes.editor import Editor, told
from fastconv.graph.passes.matching import order_of
from fastconv.typing import Array

_IN_ORDER = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")


def reshapes(editor: Editor) -> None:
    """Let a chain of Reshape, Flatten, Squeeze and Unsqueeze to a known shape be one Reshape; and a Transpose that
    moves axes of one element only."""
    for node in editor.nodes():
        x = node.inputs[0] if node.inputs else None
        maker = editor.maker(x)
        if node.operation in _IN_ORDER and maker is not None and _keeps_all(maker):
            source, line = maker.inputs[0], f"{told(maker)} and {told(node)} are one"
        elif node.operation == "Transpose" and _moves_nothing(node):
            source, line = x, f"{told(node)} moves nothing"
        else:
            continue
        sizes = _sizes(node.outputs[0])
        if sizes is not None:
            new = Node("Reshape", [source, Value.of("sizes", sizes)], node.outputs, name=node.name)
            editor.replace(node, new, line=line)


def _keeps_all(node: Node) -> bool:
    """Not what is an error, as far as that is known."""
    if node.operation not in _IN_ORDER:
        return False
    sizes = [_sizes(value) for value in (node.inputs[0], node.outputs[0])]
    counts = {math.prod(part) for part in sizes if part is not None and -1 not in part}
    return len(counts) < 2


def _sizes(value: Value | None) -> Array | None:
    """A shape as Reshape takes it: one size may follow from the others."""
    if value is None or value.shape is None:
        return None
    sizes = [size if isinstance(size, int) else -1 for size in value.shape]
    return np.array(sizes, np.int64) if sizes.count(-1) < 2 and 0 not in sizes else None


def _moves_nothing(node: Node) -> bool:
    x, order = node.inputs[0], order_of(node)
    if x is None or x.shape is None or order is None:
        return False
    moved = [axis for axis in order if x.shape[axis] != 1]
    return moved == sorted(moved)
