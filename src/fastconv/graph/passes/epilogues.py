"""The pass `epilogues`: what follows a convolution or dense layer is done while its output is in cache."""

from __future__ import annotations

import math
from collections.abc import Callable

from fastconv.graph.graph import Node, Size, Value
from fastconv.graph.passes.editor import Editor, name_of, told
from fastconv.graph.passes.matching import attribute, given, is_float, number, same_shape, with_number

_Activation = tuple[str, tuple[float, ...]]
_FUSED = {
    "Conv": "fastconv.Conv",
    "ConvTranspose": "fastconv.ConvTranspose",
    "fastconv.Conv": "fastconv.Conv",
    "fastconv.ConvTranspose": "fastconv.ConvTranspose",
    "fastconv.Dense": "fastconv.Dense",
}


def epilogues(editor: Editor) -> None:
    """Take the activation that alone reads a convolution or dense layer into it; the sum with an array of the same
    shape into a convolution; and the product with a number and the sum with one that follow a HardSwish, as before
    each depthwise layer of PP-LCNetV3, whose zeros around the image keep it from taking the sum."""
    for node in editor.nodes():
        fused = _FUSED.get(node.operation)
        if fused is None or not is_float(node.outputs[0]):
            continue
        current = Node(fused, node.inputs, node.outputs, node.attributes, name=name_of(node))
        taken = [node]
        if not node.attributes.get("activation"):
            if fused == "fastconv.Conv" and given(node, 3) is None:
                current = _with_residual(current, taken, editor)
            current = _with_activation(current, taken, editor)
        if fused == "fastconv.Conv" and current.attributes.get("activation") == "hardswish":
            current = _with_affine(current, taken, editor)
        if len(taken) > 1:
            editor.replace(taken[-1], current, line=f"{', '.join(map(told, taken[1:]))} into {told(node)}")
            editor.remove(*taken[:-1])


def _with_residual(node: Node, taken: list[Node], editor: Editor) -> Node:
    output = node.outputs[0]
    reader = editor.only_reader(output)
    if output is None or reader is None or reader.operation not in ("Add", "Sum") or len(reader.inputs) != 2:
        return node
    other = reader.inputs[reader.inputs[0] is output]
    if other is None or not same_shape(other, output) or other.dtype != output.dtype:
        return node
    taken.append(reader)
    inputs = [*node.inputs, *[None] * (3 - len(node.inputs)), other]
    return Node(node.operation, inputs, reader.outputs, node.attributes, name=node.name)


def _with_activation(node: Node, taken: list[Node], editor: Editor) -> Node:
    output = node.outputs[0]
    reader = editor.only_reader(output)
    find = None if reader is None else _ACTIVATIONS.get(reader.operation)
    if output is None or reader is None or find is None or reader.inputs[0] is not output:
        return node
    found = find(reader, output)
    if found is None and reader.operation == "PRelu":
        found = _of_channels(reader.inputs[1], output, -1 if node.operation == "fastconv.Dense" else 1)
    if found is None:
        return node
    taken.append(reader)
    word, parameters = found
    attributes = (
        node.attributes | {"activation": word} | ({"activation_params": parameters} if parameters else {})
    )
    return Node(node.operation, node.inputs, reader.outputs, attributes, name=node.name)


def _with_affine(node: Node, taken: list[Node], editor: Editor) -> Node:
    factor, addend = node.attributes.get("affine") or (1.0, 0.0)
    for operation in ("Mul", "Add"):
        output = node.outputs[0]
        reader = editor.only_reader(output)
        found = with_number(reader, output) if reader is not None and reader.operation == operation else None
        if reader is None or found is None or (operation == "Mul" and addend):
            continue
        taken.append(reader)
        factor, addend = (factor * found[1], addend) if operation == "Mul" else (factor, addend + found[1])
        attributes = node.attributes | {"affine": (factor, addend)}
        node = Node(node.operation, node.inputs, reader.outputs, attributes, name=node.name)
    return node


def _word(word: str) -> Callable[[Node, Value], _Activation]:
    return lambda node, x: (word, ())


def _clip(node: Node, x: Value) -> _Activation | None:
    bounds = []
    for place, without in ((1, -math.inf), (2, math.inf)):
        given_bound = given(node, place)
        bound = without if given_bound is None else number(given_bound, x)
        if bound is None:
            return None
        bounds.append(bound)
    low, high = bounds
    if not low <= high:
        return None
    words: dict[tuple[float, float], str] = {(0, 6): "relu6", (0, math.inf): "relu"}
    word = words.get((low, high))
    return ("clip", (low, high)) if word is None else (word, ())


def _leaky(node: Node, x: Value) -> _Activation:
    return "leaky_relu", (float(attribute(node, "alpha")),)


def _parametric(node: Node, x: Value) -> _Activation | None:
    slope = number(node.inputs[1], x)
    return None if slope is None else ("leaky_relu", (slope,))


def _of_channels(slopes: Value | None, x: Value, axis: int) -> _Activation | None:
    """A slope for each channel, which are along that axis."""
    if slopes is None or slopes.constant is None or slopes.dtype != x.dtype or x.shape is None:
        return None
    shape: list[Size] = [1] * len(x.shape)
    shape[axis] = x.shape[axis]
    if [1] * (len(shape) - slopes.constant.ndim) + list(slopes.constant.shape) != shape:
        return None
    return "prelu", tuple(slopes.constant.ravel().tolist())


def _swish(node: Node, x: Value) -> _Activation | None:
    return ("silu", ()) if attribute(node, "alpha") == 1 else None


def _gelu(node: Node, x: Value) -> _Activation | None:
    return ("gelu", ()) if attribute(node, "approximate") == "none" else None


_ACTIVATIONS: dict[str, Callable[[Node, Value], _Activation | None]] = {
    "Clip": _clip,
    "Gelu": _gelu,
    "HardSwish": _word("hardswish"),
    "LeakyRelu": _leaky,
    "PRelu": _parametric,
    "Relu": _word("relu"),
    "Sigmoid": _word("sigmoid"),
    "Swish": _swish,
    "Tanh": _word("tanh"),
}
