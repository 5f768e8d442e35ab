"""The pass `transposes`: transposes that cancel each other, or become one."""

from __future__ import annotations

import numpy as np

from fastconv.graph.graph import Node, Value
from fastconv.graph.passes.editor import Editor, told
from fastconv.graph.passes.elements import POINTWISE
from fastconv.graph.passes.matching import order_of

_Order = tuple[int, ...]


def transposes(editor: Editor) -> None:
    """Let a transpose of a transpose be one, or none; let one move behind elementwise operations (and Concat) where it
    meets another one there, or where all that these read is transposed alike."""
    for node in editor.nodes():
        if node.operation == "Transpose":
            _merge(node, editor)
        elif node.operation == "Concat" or node.operation in POINTWISE:
            _sink(node, editor)


def _merge(node: Node, editor: Editor) -> None:
    first = editor.maker(node.inputs[0])
    inner, outer = order_of(first), order_of(node)
    if first is None or inner is None or outer is None or len(inner) != len(outer):
        return
    x = first.inputs[0]
    assert x is not None
    order = tuple(inner[axis] for axis in outer)
    if order == tuple(range(len(order))):
        editor.bypass(node, x, line=f"{told(first)} and {told(node)} cancel each other")
    else:
        merged = Node("Transpose", [x], node.outputs, {"perm": order}, name=node.name)
        editor.replace(node, merged, line=f"{told(first)} and {told(node)} are one")


def _sink(node: Node, editor: Editor) -> None:
    """Transpose what the node makes in place of what it reads."""
    makers = [editor.inner(value, "Transpose") for value in node.inputs]
    orders = {order for order in map(order_of, makers) if order is not None}
    if len(orders) != 1 or len(node.outputs) != 1:
        return
    order = orders.pop()
    count = sum(maker is not None for maker in makers)
    if count < 2 and not _meets_another(node, editor):
        return
    inputs = [_before(value, maker, order, node) for value, maker in zip(node.inputs, makers, strict=True)]
    if any(new is None and value is not None for new, value in zip(inputs, node.inputs, strict=True)):
        return
    (output,) = node.outputs
    assert output is not None
    attributes = node.attributes
    if node.operation == "Concat":
        attributes = attributes | {"axis": order[attributes["axis"] % len(order)]}
    inner = Value(f"{output.name} before", None, None, None, output.element)
    changed = Node(node.operation, inputs, [inner], attributes, name=node.name)
    moved = Node("Transpose", [inner], [output], {"perm": order})
    editor.replace(node, changed, moved, line=f"{count} before {told(node)} move behind it")
    editor.remove(*(maker for maker in makers if maker is not None))


def _before(value: Value | None, maker: Node | None, order: _Order, node: Node) -> Value | None:
    """What a node reads in place of a value when its result is transposed afterwards; None where there is nothing."""
    if maker is not None:
        return maker.inputs[0]
    if value is None or value.constant is None or node.operation == "Concat":
        return None
    array = value.constant
    if array.ndim == 0:
        return value
    if array.ndim > len(order):
        return None
    back = np.argsort(order)
    whole = array.reshape((1,) * (len(order) - array.ndim) + array.shape)
    return Value.of(value.name, np.ascontiguousarray(whole.transpose(back)), value.element)


def _meets_another(node: Node, editor: Editor) -> bool:
    """Whether a Transpose reads what comes of a node, through elementwise operations that read nothing else."""
    reader = editor.only_reader(node.outputs[0])
    while reader is not None:
        if reader.operation == "Transpose":
            return True
        others = sum(value is not None and not value.is_constant for value in reader.inputs)
        if reader.operation not in POINTWISE or others > 1 or len(reader.outputs) != 1:
            return False
        reader = editor.only_reader(reader.outputs[0])
    return False
