"""The pass `elementwise`: regions of elementwise operations as one step, which reads and writes memory once."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.passes.editor import Editor, told
from fastconv.graph.passes.elements import COMPARISONS, LOGIC, POINTWISE
from fastconv.graph.passes.matching import number, same_shape

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
_BOOL = np.dtype(np.bool_)


def elementwise(editor: Editor) -> None:
    """Let each largest region of two or more nodes of one float dtype, of which only the last one's result is read
    elsewhere, and whose results all have that one's shape (so that nothing is computed more often than before), be one
    `fastconv.Elementwise`."""
    taken: set[Node] = set()
    for node in reversed(list(editor.nodes())):
        if node in taken or _dtype(node) is None or node.operation in COMPARISONS | LOGIC:
            continue
        region = _region(node, editor)
        taken.update(region)
        if len(region) > 1:
            in_order = [inner for inner in editor.graph.nodes if inner in region]
            names = ", ".join(inner.operation for inner in in_order)
            editor.replace(node, _together(in_order), line=f"{told(node)} from {names}")
            editor.remove(*reversed(in_order[:-1]))


def _dtype(node: Node) -> Any:
    """The dtype of the floats that an elementwise node computes with; None where it is none that is taken."""
    output = node.outputs[0] if node.outputs else None
    if node.operation not in POINTWISE or output is None or len(node.outputs) != 1:
        return None
    if node.operation in LOGIC:
        return output.dtype if output.dtype == _BOOL else None
    values = [value for value in node.inputs if value is not None]
    if node.operation == "Where":
        values = values[1:]
    dtype = values[0].dtype
    if dtype not in _DTYPES or any(value.dtype != dtype or value.element for value in values):
        return None
    if node.operation == "Clip" and any(
        value.constant is None or value.constant.size != 1 for value in values[1:]
    ):
        return None
    return dtype


def _region(root: Node, editor: Editor) -> set[Node]:
    """The node, and all before it that may be computed with it; alone where a truth value that is read would come from
    elsewhere."""
    banned = set[Node]()
    while True:
        region = _grown(root, banned, editor)
        open_ones = {node for node in region if _reads_truth_from_outside(node, region, editor)}
        if not open_ones:
            return region
        if root in open_ones:
            return {root}
        banned |= open_ones


def _grown(root: Node, banned: set[Node], editor: Editor) -> set[Node]:
    """What belongs to a region is seen when the last of its readers has come into it."""
    region, waiting = {root}, [root]
    while waiting:
        for value in waiting.pop().inputs:
            maker = editor.maker(value)
            if value is None or maker is None or maker in region or maker in banned:
                continue
            if _belongs(maker, value, region, root, editor):
                region.add(maker)
                waiting.append(maker)
    return region


def _reads_truth_from_outside(node: Node, region: set[Node], editor: Editor) -> bool:
    truths = node.inputs if node.operation in LOGIC else node.inputs[:1] if node.operation == "Where" else []
    return any(editor.maker(value) not in region for value in truths)


def _belongs(node: Node, value: Value, region: set[Node], root: Node, editor: Editor) -> bool:
    own = _dtype(node)
    if own is None or own not in (_dtype(root), _BOOL) or editor.is_output(value):
        return False
    if any(reader not in region for reader in editor.readers(value)):
        return False
    output = root.outputs[0]
    assert output is not None
    return same_shape(value, output) or _is_kept(value, region, editor, output)


def _is_kept(value: Value, region: set[Node], editor: Editor, output: Value) -> bool:
    """Whether a value of a shape that is not known has the region's all the same: nothing else gives its readers one,
    from there to the region's output."""
    while value is not output:
        reader = editor.only_reader(value)
        if reader is None or reader not in region or reader.outputs[0] is None:
            return False
        others = [other for other in reader.inputs if other is not None and other is not value]
        if any(other.constant is None or other.constant.ndim for other in others):
            return False
        value = reader.outputs[0]
    return True


def _together(nodes: list[Node]) -> Node:
    """One node with a body; constants of one element are in the body, everything else is given to it."""
    last = nodes[-1]
    output = last.outputs[0]
    assert output is not None
    within: dict[Value, Value] = {}
    inputs: list[Value | None] = []
    body = Graph([], [], [], last.name)

    def read(value: Value) -> Value:
        if value not in within:
            if number(value, output) is not None:
                within[value] = Value.of(value.name, value.constant.reshape(()))
            else:
                within[value] = Value(value.name, value.dtype, value.shape, None, value.element)
                inputs.append(value)
                body.inputs.append(within[value])
        return within[value]

    for node in nodes:
        made = node.outputs[0]
        assert made is not None
        reads = [None if value is None else read(value) for value in node.inputs]
        within[made] = Value(made.name, made.dtype, made.shape)
        body.nodes.append(Node(node.operation, reads, [within[made]], node.attributes, name=node.name))
    body.outputs.append(within[output])
    return Node("fastconv.Elementwise", inputs, [output], {"body": body}, {"body": []}, last.name)
