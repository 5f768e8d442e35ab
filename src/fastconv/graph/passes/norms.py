"""LayerNormalization from its parts. Used by the pass `patterns`."""

from __future__ import annotations

from fastconv.graph.elements import NUMBERS
from fastconv.graph.graph import Node, Value
from fastconv.graph.passes.editor import Editor, told
from fastconv.graph.passes.matching import attribute, given, integers, is_float, number, with_number


def layer_norm(node: Node, editor: Editor) -> None:
    """(x - mean) / sqrt(mean of its square + epsilon) * scale + bias, along the last axis."""
    output = node.outputs[0]
    for bias, value in (node.inputs, node.inputs[::-1]):
        scaled = editor.inner(value, "Mul")
        if bias is None or scaled is None or not _is_vector(bias):
            continue
        for scale, standard in (scaled.inputs, scaled.inputs[::-1]):
            if scale is None or not _is_vector(scale) or scale.dtype != bias.dtype:
                continue
            found = _standard(standard, editor)
            if found is None:
                continue
            x, epsilon, nodes = found
            if not is_float(x) or x.dtype != scale.dtype or x.shape is None or not _fits(x, scale, bias):
                continue
            assert x.dtype is not None
            attributes = {"axis": -1, "epsilon": epsilon, "stash_type": NUMBERS[x.dtype]}
            new = Node("LayerNormalization", [x, scale, bias], [output], attributes, name=node.name)
            editor.replace(node, new, line=f"{told(new)} from {len(nodes) + 2} nodes")
            editor.remove(scaled, *nodes)
            return


def _is_vector(value: Value) -> bool:
    return value.constant is not None and value.constant.ndim == 1


def _fits(x: Value, *vectors: Value) -> bool:
    assert x.shape is not None
    return all(x.shape[-1:] == value.constant.shape for value in vectors)


def _standard(value: Value | None, editor: Editor) -> tuple[Value, float, list[Node]] | None:
    """What has mean 0 and variance 1: of what, the epsilon, and the nodes from the last one back."""
    quotient = editor.inner(value, "Div")
    root = None if quotient is None else editor.inner(quotient.inputs[1], "Sqrt")
    total = None if root is None else editor.inner(root.inputs[0], "Add")
    shifted = None if total is None else with_number(total)
    mean = None if shifted is None else editor.inner(shifted[0], "ReduceMean")
    square = None if mean is None else editor.inner(mean.inputs[0], "Pow", "Mul")
    if not (quotient and root and total and shifted and mean and square) or not _is_last(mean):
        return None
    difference = quotient.inputs[0]
    if difference is None or not _is_square(square, difference):
        return None
    less = editor.maker(difference)
    # The difference is read by the quotient and by its square, and by nothing else.
    reads = 1 + sum(read is difference for read in square.inputs)
    if less is None or less.operation != "Sub" or editor.is_output(difference):
        return None
    own_mean = editor.inner(less.inputs[1], "ReduceMean")
    if own_mean is None or not _is_last(own_mean) or len(editor.readers(difference)) != reads:
        return None
    x = less.inputs[0]
    if x is None or own_mean.inputs[0] is not x:
        return None
    return x, shifted[1], [quotient, root, total, mean, square, less, own_mean]


def _is_square(node: Node, value: Value) -> bool:
    if node.operation == "Mul":
        return all(read is value for read in node.inputs)
    return node.inputs[0] is value and number(node.inputs[1], value) == 2


def _is_last(node: Node) -> bool:
    """Whether a mean is along the last axis, which stays."""
    x, axes = node.inputs[0], integers(given(node, 1))
    if x is None or axes is None or len(axes) != 1 or not attribute(node, "keepdims"):
        return False
    return axes[0] == -1 or (x.shape is not None and axes[0] == len(x.shape) - 1)
