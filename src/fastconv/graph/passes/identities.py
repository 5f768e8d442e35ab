"""The pass `identities`: nodes that change nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastconv.graph.elements import ELEMENTS
from fastconv.graph.graph import Node, Size, Value
from fastconv.graph.passes.editor import Editor, told
from fastconv.graph.passes.matching import given, integers, is_known, number

_Check = Callable[[Node], Value | None]


def identities(editor: Editor) -> None:
    """Leave out what gives the very bits that it is given: x * 1, but not x + 0, which makes 0 of -0."""
    for node in editor.nodes():
        check = _CHECKS.get(node.operation)
        value = None if check is None or any(map(editor.is_read, _others(node))) else check(node)
        if value is not None:
            editor.bypass(node, value, line=f"{told(node)} changes nothing")


def _others(node: Node) -> list[Value]:
    """What it makes besides its first output."""
    return [value for value in node.outputs[1:] if value is not None]


def _always(node: Node) -> Value | None:
    return node.inputs[0]


def _dropout(node: Node) -> Value | None:
    training = given(node, 2)
    return (
        node.inputs[0] if training is None or (training.is_constant and not training.constant.any()) else None
    )


def _alone(node: Node) -> Value | None:
    return node.inputs[0] if len(node.inputs) == 1 else None


def _shaped(node: Node) -> Value | None:
    """Elements in order: the shape is the same if all sizes are but one that follows from them."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    assert y is not None
    if x.shape is None or y.shape is None or len(x.shape) != len(y.shape):
        return None
    pairs = list(zip(x.shape, y.shape, strict=True))
    alike = [size for size, other in pairs if size == other and size is not None]
    if len(alike) == len(pairs):
        return x
    is_counted = all(isinstance(size, int) and size > 0 for size in alike) and None in y.shape
    return x if is_counted and len(alike) == len(pairs) - 1 else None


def _same_shape(node: Node) -> Value | None:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    assert y is not None
    return x if x.shape == y.shape and _is_all_numbers(x.shape) else None


def _is_all_numbers(shape: tuple[Size, ...] | None) -> bool:
    return is_known(shape) and all(isinstance(size, int) for size in shape or ())


def _transpose(node: Node) -> Value | None:
    order = node.attributes.get("perm")
    return node.inputs[0] if order is not None and tuple(order) == tuple(range(len(order))) else None


def _slice(node: Node) -> Value | None:
    steps = given(node, 4)
    forward = steps is None or set(integers(steps) or [0]) == {1}
    return _same_shape(node) if forward else None


def _pad(node: Node) -> Value | None:
    pads = integers(node.inputs[1])
    return node.inputs[0] if pads is not None and not any(pads) else None


def _cast(node: Node) -> Value | None:
    x, element = node.inputs[0], ELEMENTS.get(node.attributes["to"])
    assert x is not None
    if element is None:
        return None
    same = x.dtype == element.dtype and not element.is_held_wider and element.name != "string"
    return x if same else None


def _cast_like(node: Node) -> Value | None:
    x, like = node.inputs
    assert x is not None
    assert like is not None
    return x if x.dtype is not None and x.dtype == like.dtype and x.dtype != object else None


def _clip(node: Node) -> Value | None:
    x = node.inputs[0]
    assert x is not None
    for place, without in ((1, -np.inf), (2, np.inf)):
        bound = given(node, place)
        if bound is not None and (bound.constant is None or number(bound, x) != without):
            return None
    return x


def _neutral(neutral: float, either: bool, negative: bool | None = None) -> _Check:
    """One operand is a constant that changes nothing, the second one or either; zeros of floats need the right sign."""

    def check(node: Node) -> Value | None:
        x, y = node.inputs
        for value, constant in ((x, y), (y, x))[: 1 + either]:
            assert value is not None
            if value.dtype is None or not _adds_no_axes(constant, value):
                continue
            assert constant is not None
            signs = negative is not None and value.dtype.kind == "f"
            if (constant.constant == neutral).all() and not (
                signs and (np.signbit(constant.constant) != negative).any()
            ):
                return value
        return None

    return check


def _adds_no_axes(constant: Value | None, value: Value) -> bool:
    """Whether a constant is of the value's dtype and broadcast to its shape."""
    if constant is None or constant.constant is None or constant.dtype != value.dtype or value.is_constant:
        return False
    shape = constant.constant.shape
    if not shape:
        return True
    if value.shape is None or len(shape) > len(value.shape) or not constant.constant.size:
        return False
    return all(size in (1, own) for size, own in zip(shape[::-1], value.shape[::-1], strict=False))


_CHECKS: dict[str, _Check] = {
    "Add": _neutral(0, True, negative=True),
    "Cast": _cast,
    "CastLike": _cast_like,
    "Clip": _clip,
    "Concat": _alone,
    "Div": _neutral(1, False),
    "Dropout": _dropout,
    "Expand": _same_shape,
    "Flatten": _shaped,
    "Identity": _always,
    "Max": _alone,
    "Mean": _alone,
    "Min": _alone,
    "Mul": _neutral(1, True),
    "Pad": _pad,
    "Pow": _neutral(1, False),
    "Reshape": _shaped,
    "Slice": _slice,
    "Sub": _neutral(0, False, negative=False),
    "Sum": _alone,
    "Tile": _same_shape,
    "Transpose": _transpose,
}
