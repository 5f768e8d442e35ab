"""Questions about values and nodes that many passes ask."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.graph.graph import Node, Size, Value
from fastconv.graph.operations import TABLE


def given(node: Node, place: int) -> Value | None:
    return node.inputs[place] if place < len(node.inputs) else None


def attribute(node: Node, name: str) -> Any:
    """What a node says, or the operation's default."""
    return node.attributes.get(name, TABLE[node.operation].attributes[name])


def is_float(value: Value | None) -> bool:
    return value is not None and value.dtype is not None and value.dtype.kind == "f"


def rank(value: Value) -> int | None:
    return None if value.shape is None else len(value.shape)


def is_known(shape: tuple[Size, ...] | None) -> bool:
    """Whether two values of this shape are alike: numbers and symbols only."""
    return shape is not None and None not in shape


def same_shape(one: Value, other: Value) -> bool:
    return one.shape == other.shape and is_known(one.shape)


def number(value: Value | None, beside: Value) -> float | None:
    """A constant of one element of the dtype of the value beside it, that adds no axes to it; None where it is none."""
    if value is None or value.constant is None or value.constant.size != 1 or value.dtype != beside.dtype:
        return None
    if value.constant.ndim and (beside.shape is None or value.constant.ndim > len(beside.shape)):
        return None
    return float(value.constant.ravel()[0])


def is_near(one: float | None, other: float, dtype: Any) -> bool:
    """Equal up to the rounding of a constant."""
    return one is not None and abs(one - other) <= 2 * float(np.finfo(dtype).eps) * abs(other)


def with_number(node: Node, beside: Value | None = None) -> tuple[Value, float] | None:
    """The operands of a sum or product of a value (or of that one) and a number, in either order."""
    if len(node.inputs) != 2:
        return None
    for value, other in (node.inputs, node.inputs[::-1]):
        if value is None or value.is_constant or (beside is not None and value is not beside):
            continue
        found = number(other, value)
        if found is not None:
            return value, found
    return None


def integers(value: Value | None) -> list[int] | None:
    """Those of a constant."""
    if value is None or value.constant is None or value.constant.dtype.kind not in "iu":
        return None
    return [int(size) for size in value.constant.ravel()]


def order_of(node: Node | None) -> tuple[int, ...] | None:
    """The permutation of a Transpose; None where it is not known, or none of its input's axes."""
    if node is None or node.operation != "Transpose" or node.inputs[0] is None:
        return None
    order, shape = node.attributes.get("perm"), node.inputs[0].shape
    if order is None:
        return None if shape is None else tuple(range(len(shape)))[::-1]
    if shape is not None and len(shape) != len(order):
        return None  # running says so
    return tuple(axis % len(order) for axis in order)
