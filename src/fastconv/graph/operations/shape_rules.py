"""Rules of operations that move elements: which sizes follow from which, where axes and sizes are constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.graph.elements import ELEMENTS
from fastconv.graph.graph import Size, Value
from fastconv.graph.operations.rules import broadcast_shape
from fastconv.graph.operations.table import Type

Inputs = Sequence[Value | None]
Attributes = dict[str, Any]
_INDEX = np.dtype(np.int64)


def first(inputs: Inputs) -> Value:
    value = inputs[0]
    assert value is not None
    return value


def constant(inputs: Inputs, place: int) -> list[Any] | None:
    """The numbers of an input that is a constant."""
    value = inputs[place] if place < len(inputs) else None
    return None if value is None or value.constant is None else value.constant.ravel().tolist()


def integers(inputs: Inputs, place: int) -> list[int] | None:
    """The numbers of an input that is a constant, such as axes and sizes.

    Raises
    ------
    TypeError
        If they are no integers: what a rule would do with these is not known.
    """
    value = inputs[place] if place < len(inputs) else None
    if value is not None and value.constant is not None and value.constant.size:
        dtype = value.constant.dtype
        if dtype.kind not in "iu":
            raise TypeError(f"input {place} is {dtype}, but needs integers")
    return constant(inputs, place)


def of_length(what: str, values: Sequence[Any] | None, count: int) -> None:
    """Refuse attributes or inputs that are not as many as the axes that they are for."""
    if values is not None and len(values) != count:
        raise ValueError(f"{len(values)} {what}, but it takes {count}")


def is_given(inputs: Inputs, place: int) -> bool:
    return place < len(inputs) and inputs[place] is not None


def squeezed(inputs: Inputs, attributes: Attributes) -> list[Type]:
    x, axes = first(inputs), integers(inputs, 1)
    if x.shape is None or (is_given(inputs, 1) and axes is None):
        return [Type(x.dtype)]
    if axes is None:
        if not all(isinstance(size, int) for size in x.shape):
            return [Type(x.dtype)]
        return [Type(x.dtype, tuple(size for size in x.shape if size != 1))]
    gone = {axis % len(x.shape) for axis in axes}
    return [Type(x.dtype, tuple(size for axis, size in enumerate(x.shape) if axis not in gone))]


def unsqueezed(inputs: Inputs, attributes: Attributes) -> list[Type]:
    x, axes = first(inputs), integers(inputs, 1)
    if x.shape is None or axes is None:
        return [Type(x.dtype)]
    rank = len(x.shape) + len(axes)
    new, rest = {axis % rank for axis in axes}, iter(x.shape)
    if len(new) < len(axes):
        raise ValueError(f"Unsqueeze: axes are {', '.join(map(str, axes))}, but each may be there once")
    return [Type(x.dtype, tuple(1 if axis in new else next(rest) for axis in range(rank)))]


def changed(x: Value, sizes: dict[int, Size]) -> Type:
    """The type of `x` with other sizes along some axes."""
    if x.shape is None:
        return Type(x.dtype)
    rank = len(x.shape)
    new = {axis % rank: size for axis, size in sizes.items()}
    return Type(x.dtype, tuple(new.get(axis, size) for axis, size in enumerate(x.shape)))


def split_parts(inputs: Inputs, attributes: Attributes) -> list[Type]:
    """Of a known axis, in given parts; else all alike but for that axis."""
    x, parts = first(inputs), integers(inputs, 1)
    axis = attributes.get("axis", 0)
    count, size = attributes.get("num_outputs"), None if x.shape is None else x.shape[axis]
    if not is_given(inputs, 1) and count and isinstance(size, int):
        each = -(-size // count)
        parts = [each] * (count - 1) + [size - each * (count - 1)]
    if parts is None or min(parts) < 0:
        return [changed(x, {axis: None})] * _MANY
    return [changed(x, {axis: size}) for size in parts]


_MANY = 1024  # parts of a split; those beyond have no type


def expanded(inputs: Inputs, attributes: Attributes) -> list[Type]:
    x, shape = first(inputs), integers(inputs, 1)
    return [Type(x.dtype, None if shape is None else broadcast_shape([x.shape, tuple(shape)]))]


def tiled(inputs: Inputs, attributes: Attributes) -> list[Type]:
    x, repeats = first(inputs), integers(inputs, 1)
    if x.shape is None or repeats is None:
        return [Type(x.dtype)]
    of_length("repeats", repeats, len(x.shape))
    sizes = zip(x.shape, repeats, strict=True)
    return [Type(x.dtype, tuple(size * times if isinstance(size, int) else None for size, times in sizes))]


def sliced(inputs: Inputs, attributes: Attributes) -> list[Type]:
    x = first(inputs)
    starts, ends = integers(inputs, 1), integers(inputs, 2)
    if x.shape is None:
        return [Type(x.dtype)]
    axes = integers(inputs, 3) if is_given(inputs, 3) else starts and list(range(len(starts)))
    steps = integers(inputs, 4) if is_given(inputs, 4) else starts and [1] * len(starts)
    if axes is None:
        return [Type(x.dtype, (None,) * len(x.shape))]
    if starts is None or ends is None or steps is None:
        return [changed(x, dict.fromkeys(axes, None))]
    for what, values in (("starts", starts), ("ends", ends), ("steps", steps)):
        of_length(what, values, len(axes))
    new: dict[int, Size] = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = x.shape[axis]
        new[axis] = len(range(*bounds(start, end, step, size))) if isinstance(size, int) else None
    return [changed(x, new)]


def bounds(start: int, end: int, step: int, size: int) -> tuple[int, int, int]:
    """A slice's first place, the one that it does not reach, and the step, within an axis; unlike Python's, one that
    goes back from before the axis begins at its first place."""
    start, end = (place + size if place < 0 else place for place in (start, end))
    if step > 0:
        return min(max(start, 0), size), min(max(end, 0), size), step
    return min(max(start, 0), size - 1), min(max(end, -1), size - 1), step


def gathered(inputs: Inputs, attributes: Attributes) -> list[Type]:
    x, indices = inputs[:2]
    assert x is not None
    assert indices is not None
    if x.shape is None or indices.shape is None:
        return [Type(x.dtype)]
    axis = attributes.get("axis", 0) % len(x.shape)
    return [Type(x.dtype, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))]


def of_indices(inputs: Inputs, attributes: Attributes) -> list[Type]:
    """The dtype of the first input and the shape of the second."""
    x, indices = inputs[:2]
    return [Type(None if x is None else x.dtype, None if indices is None else indices.shape)]


def gathered_nd(inputs: Inputs, attributes: Attributes) -> list[Type]:
    x, indices = inputs[:2]
    assert x is not None
    assert indices is not None
    if x.shape is None or indices.shape is None or not isinstance(indices.shape[-1], int):
        return [Type(x.dtype)]
    depth = attributes.get("batch_dims", 0) + indices.shape[-1]
    return [Type(x.dtype, (*indices.shape[:-1], *x.shape[depth:]))]


def one_hot(inputs: Inputs, attributes: Attributes) -> list[Type]:
    x, depth, values = first(inputs), constant(inputs, 1), inputs[2]
    dtype = None if values is None else values.dtype
    if x.shape is None:
        return [Type(dtype)]
    axis = attributes.get("axis", -1)
    axis = axis + len(x.shape) + 1 if axis < 0 else axis
    return [Type(dtype, (*x.shape[:axis], None if depth is None else int(depth[0]), *x.shape[axis:]))]


def nonzero(inputs: Inputs, attributes: Attributes) -> list[Type]:
    x = first(inputs)
    return [Type(_INDEX, (None if x.shape is None else len(x.shape), None))]


def extreme(inputs: Inputs, attributes: Attributes) -> list[Type]:
    """ArgMax and ArgMin."""
    x = first(inputs)
    if x.shape is None:
        return [Type(_INDEX)]
    axis = attributes.get("axis", 0) % len(x.shape)
    kept = (1,) if attributes.get("keepdims", 1) else ()
    return [Type(_INDEX, (*x.shape[:axis], *kept, *x.shape[axis + 1 :]))]


def best(inputs: Inputs, attributes: Attributes) -> list[Type]:
    """TopK."""
    k = integers(inputs, 1)
    values = changed(first(inputs), {attributes.get("axis", -1): None if k is None else int(k[0])})
    return [values, Type(_INDEX, values.shape)]


def filled(inputs: Inputs, attributes: Attributes) -> list[Type]:
    """ConstantOfShape."""
    shape, value = integers(inputs, 0), attributes.get("value")
    dtype = np.dtype(np.float32) if value is None else value.dtype
    return [Type(dtype, None if shape is None else tuple(shape))]


def in_a_row(inputs: Inputs, attributes: Attributes) -> list[Type]:
    """Range."""
    given = [constant(inputs, place) for place in range(3)]
    known = [numbers[0] for numbers in given if numbers]
    return [Type(first(inputs).dtype, (steps_of(*known) if len(known) == len(given) else None,))]


def steps_of(start: float, limit: float, delta: float) -> int:
    """How many steps of `delta` begin before the limit."""
    if not delta:
        raise ValueError("delta is 0")
    return max(math.ceil((limit - start) / delta), 0)


def of_type(attribute: str) -> Any:
    """The shape of the first input, and the dtype that an attribute names, or else that of the input."""

    def rule(inputs: Inputs, attributes: Attributes) -> list[Type]:
        x, number = first(inputs), attributes.get(attribute)
        return [Type(ELEMENTS[number].dtype if number else x.dtype, x.shape)]

    return rule


def blocks(factor: int) -> Any:
    """DepthToSpace (1) and SpaceToDepth (-1)."""

    def rule(inputs: Inputs, attributes: Attributes) -> list[Type]:
        x, b = first(inputs), attributes["blocksize"]
        if b < 1:
            raise ValueError(f"blocksize is {b}, but needs to be at least 1")
        if x.shape is None:
            return [Type(x.dtype)]
        n, *sizes = x.shape
        powers = (-2 * factor, factor, factor)
        pairs = zip(sizes, powers, strict=True)
        return [
            Type(x.dtype, (n, *(int(s * float(b) ** p) if isinstance(s, int) else None for s, p in pairs)))
        ]

    return rule


def padded(inputs: Inputs, attributes: Attributes) -> list[Type]:
    x, pads = first(inputs), integers(inputs, 1)
    if x.shape is None or (is_given(inputs, 3) and integers(inputs, 3) is None):
        return [Type(x.dtype)]
    axes = integers(inputs, 3) if is_given(inputs, 3) else list(range(len(x.shape)))
    assert axes is not None
    of_length("pads", pads, 2 * len(axes))
    new: dict[int, Size] = dict.fromkeys(axes, None)
    for place, axis in enumerate(axes):
        size = x.shape[axis]
        if pads is not None and isinstance(size, int):
            before, after = pads[place], pads[place + len(axes)]
            if size + before + after < 0:
                raise ValueError(
                    f"pads are {before} and {after}, which take more than there is of an axis of {size}"
                )
            new[axis] = size + before + after
    return [changed(x, new)]


def quantised(inputs: Inputs, attributes: Attributes) -> list[Type]:
    """QuantizeLinear."""
    x, zero = first(inputs), inputs[2] if len(inputs) > 2 else None
    number = attributes.get("output_dtype") or 2
    return [Type(ELEMENTS[number].dtype if zero is None else zero.dtype, x.shape)]


def dequantised(inputs: Inputs, attributes: Attributes) -> list[Type]:
    x, scale = inputs[:2]
    number = attributes.get("output_dtype")
    dtype = ELEMENTS[number].dtype if number else None if scale is None else scale.dtype
    return [Type(dtype, None if x is None else x.shape)]
