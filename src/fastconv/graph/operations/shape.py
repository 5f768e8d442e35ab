"""Operations that move elements, or look at shapes, and compute nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from fastconv.graph.elements import ELEMENTS
from fastconv.graph.graph import Size, Value
from fastconv.graph.operations import shape_rules
from fastconv.graph.operations.rules import same
from fastconv.graph.operations.table import ALWAYS, Reading, Type, operation, upgrade
from fastconv.typing import Array

_INDEX = np.dtype(np.int64)


def sizes(value: Array) -> list[int]:
    """A tensor of sizes or axes as integers."""
    if value.dtype.kind not in "iu":
        raise TypeError(f"sizes or axes are {value.dtype}, but need to be integers")
    return [int(size) for size in value.ravel()]


@operation("Identity", rule=same)
def identity(x: Any) -> Any:
    return x


def _reshaped(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, shape = inputs
    assert x is not None
    assert shape is not None
    if shape.constant is None:
        return [Type(x.dtype)]
    wanted: list[Size] = list(sizes(shape.constant))
    if not attributes.get("allowzero", 0):
        for place, size in enumerate(wanted):
            if size == 0:
                wanted[place] = None if x.shape is None else x.shape[place]
    if -1 in wanted:
        known = x.shape is not None and all(isinstance(size, int) for size in x.shape)
        rest = [size for size in wanted if size != -1]
        whole: Size = None
        if known and all(isinstance(size, int) for size in rest) and 0 not in rest:
            whole = math.prod(x.shape) // math.prod(rest)  # type: ignore[arg-type]
        wanted[wanted.index(-1)] = whole
    return [Type(x.dtype, tuple(wanted))]


@operation("Reshape", rule=_reshaped)
def reshape(x: Array, shape: Array, *, allowzero: int = 0) -> Any:
    wanted = sizes(shape)
    if not allowzero:
        wanted = [x.shape[place] if size == 0 else size for place, size in enumerate(wanted)]
    return x.reshape(wanted)


def _flattened(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x = inputs[0]
    assert x is not None
    if x.shape is None:
        return [Type(x.dtype, (None, None))]
    axis = attributes.get("axis", 1)
    axis = axis + len(x.shape) if axis < 0 else axis
    return [Type(x.dtype, (product(x.shape[:axis]), product(x.shape[axis:])))]


def product(shape: Sequence[Size]) -> Size:
    numbers = [size for size in shape if isinstance(size, int)]
    if len(numbers) == len(shape):
        return math.prod(numbers)
    others = [size for size in shape if not isinstance(size, int)]
    return others[0] if len(others) == 1 and math.prod(numbers) == 1 else None


@operation("Flatten", rule=_flattened)
def flatten(x: Array, *, axis: int = 1) -> Any:
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _transposed(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x = inputs[0]
    assert x is not None
    if x.shape is None:
        return [Type(x.dtype)]
    rank = len(x.shape)
    order = attributes.get("perm") or range(rank)[::-1]
    if sorted(axis + rank if axis < 0 else axis for axis in order) != [*range(rank)]:
        raise ValueError(f"perm is {order}, but there are {rank} axes")
    return [Type(x.dtype, tuple(x.shape[axis] for axis in order))]


@operation("Transpose", rule=_transposed)
def transpose(x: Array, *, perm: tuple[int, ...] | None = None) -> Any:
    return x.transpose(perm)


@operation("Squeeze", rule=shape_rules.squeezed)
def squeeze(x: Array, axes: Array | None = None) -> Any:
    return x.squeeze(None if axes is None else tuple(sizes(axes)))


@operation("Unsqueeze", rule=shape_rules.unsqueezed)
def unsqueeze(x: Array, axes: Array) -> Any:
    return np.expand_dims(x, tuple(sizes(axes)))


@upgrade("Squeeze", "Unsqueeze", to=13)
def axes_are_an_input(reading: Reading) -> None:
    reading.to_input("axes", 1)


def joined(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    first = inputs[0]
    assert first is not None
    shapes = [None if value is None else value.shape for value in inputs]
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes) or not known[0]:
        return [Type(first.dtype)]
    if len({*map(len, known)}) > 1:
        raise ValueError(f"arrays of {', '.join(str(len(shape)) for shape in known)} axes")
    axis = attributes["axis"] % len(known[0])
    along = [shape[axis] for shape in known]
    whole = sum(size for size in along if isinstance(size, int))
    all_known = all(isinstance(size, int) for size in along)
    return [Type(first.dtype, (*known[0][:axis], whole if all_known else None, *known[0][axis + 1 :]))]


@operation("Concat", rule=joined, grows=True)
def concatenate(*values: Array, axis: int) -> Any:
    return np.concatenate(values, axis)


@operation("Split", rule=shape_rules.split_parts)
def split(
    x: Array, parts: Array | None = None, *, axis: int = 0, num_outputs: int | None = None, outputs: int
) -> Any:
    """In parts of given sizes, or in equal ones, of which the last may be smaller."""
    if parts is None:
        each = -(-x.shape[axis] // (num_outputs or outputs))
        stops = [each * place for place in range(1, num_outputs or outputs)]
    else:
        wanted = sizes(parts)
        if sum(wanted) != x.shape[axis] or min(wanted) < 0:
            raise ValueError(f"Split: parts of {wanted} of an axis of {x.shape[axis]}")
        stops = list(np.cumsum(wanted[:-1], dtype=int))
    return tuple(np.split(x, stops, axis))


@upgrade("Split", to=13)
def parts_are_an_input(reading: Reading) -> None:
    reading.to_input("split", 1)


@upgrade("Split", to=ALWAYS)
def parts_are_counted(reading: Reading) -> None:
    """By the outputs, which the rule of shapes does not see."""
    if reading.input(1) is None:
        reading.attributes.setdefault("num_outputs", reading.outputs)


def _shape_of(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x = inputs[0]
    if x is None or x.shape is None:
        return [Type(_INDEX, (None,))]
    return [Type(_INDEX, (len(x.shape[attributes.get("start", 0) : attributes.get("end")]),))]


@operation("Shape", rule=_shape_of)
def shape_of(x: Array, *, start: int = 0, end: int | None = None) -> Any:
    return np.array(x.shape[start:end], np.int64)


@operation("Size", rule=lambda inputs, attributes: [Type(_INDEX, ())])
def size_of(x: Array) -> Any:
    return np.array(x.size, np.int64)


@operation("Expand", rule=shape_rules.expanded, grows=True)
def expand(x: Array, shape: Array) -> Any:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(sizes(shape))))


@operation("Tile", rule=shape_rules.tiled, grows=True)
def tile(x: Array, repeats: Array) -> Any:
    return np.tile(x, sizes(repeats))


def _cast(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    element, x = ELEMENTS.get(attributes["to"]), inputs[0]
    return [Type(None if element is None else element.dtype, None if x is None else x.shape)]


@operation("Cast", rule=_cast)
def cast(x: Array, *, to: int, saturate: int = 1, round_mode: Literal["up", "down", "nearest"] = "up") -> Any:
    element = ELEMENTS[to]
    if element.name == "string":
        return x if x.dtype == object else x.astype(str).astype(object)
    if x.dtype == object:  # strings of numbers
        x = x.astype(np.int64 if element.dtype.kind in "iu" else np.float64)
    if element.name == "float8e8m0" and round_mode != "nearest":
        return _power_of_two(x, round_mode)
    return element.cast(x, bool(saturate))


def _power_of_two(x: Array, mode: str) -> Any:
    """E8M0's own ways of rounding: to the power of 2 above, or below."""
    exponent = np.log2(x.astype(np.float64))
    exponent = np.ceil(exponent) if mode == "up" else np.floor(exponent)
    return np.exp2(np.clip(exponent, -127, 127)).astype(np.float32)


def _cast_like(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, like = inputs
    return [Type(None if like is None else like.dtype, None if x is None else x.shape)]


@operation("CastLike", rule=_cast_like)
def cast_like(
    x: Array, like: Array, *, saturate: int = 1, round_mode: Literal["up", "down", "nearest"] = "up"
) -> Any:
    return x.astype(like.dtype)


@upgrade("CastLike", to=ALWAYS)
def like_a_type_that_numpy_lacks(reading: Reading) -> None:
    like = reading.input(1)
    if like is not None and like.element:
        reading.operation, reading.inputs = "Cast", reading.inputs[:1]
        reading.attributes["to"] = like.element


@operation("BitCast", rule=shape_rules.of_type("to"))
def bit_cast(x: Array, *, to: int) -> Any:
    return np.asarray(x, order="C").view(ELEMENTS[to].dtype)


@operation("DepthToSpace", rule=shape_rules.blocks(1))
def depth_to_space(x: Array, *, blocksize: int, mode: Literal["DCR", "CRD"] = "DCR") -> Any:
    n, c, h, w = x.shape
    return to_space(x, blocksize, mode).reshape(n, c // blocksize**2, h * blocksize, w * blocksize)


def to_space(x: Array, b: int, mode: str) -> Array:
    """The elements of DepthToSpace in their order: a view of images."""
    n, c, h, w = x.shape
    if mode == "DCR":
        return x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)


@operation("SpaceToDepth", rule=shape_rules.blocks(-1))
def space_to_depth(x: Array, *, blocksize: int, mode: Literal["DCR", "CRD"] = "DCR") -> Any:
    n, c, h, w = x.shape
    return to_depth(x, blocksize, mode).reshape(n, c * blocksize**2, h // blocksize, w // blocksize)


def to_depth(x: Array, b: int, mode: str) -> Array:
    """The elements of SpaceToDepth in their order: a view of images."""
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // b, b, w // b, b)
    return parts.transpose((0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4))


@operation("Trilu", rule=same)
def triangle(x: Array, k: Array | None = None, *, upper: int = 1) -> Any:
    diagonal = 0 if k is None else int(k.item())
    return np.triu(x, diagonal) if upper else np.tril(x, diagonal)


@operation("ReverseSequence", rule=same)
def reverse_sequence(x: Array, lengths: Array, *, batch_axis: int = 1, time_axis: int = 0) -> Any:
    result = x.copy()
    for place, length in enumerate(sizes(lengths)):
        part: list[Any] = [slice(None)] * x.ndim
        part[batch_axis] = place
        own, source = (
            np.moveaxis(result, (batch_axis, time_axis), (0, 1)),
            np.moveaxis(x, (batch_axis, time_axis), (0, 1)),
        )
        own[place, :length] = source[place, :length][::-1]
    return result


@operation("Dropout", rule=same)
def dropout(x: Array, ratio: Array | None = None, training: Array | None = None, *, seed: int = 0) -> Any:
    """Inference: the identity; training is refused."""
    if training is not None and bool(training) and (ratio is None or float(ratio)):
        raise ValueError("Dropout: training_mode is true, but networks are run for inference only")
    return x, np.ones(x.shape, bool)


@upgrade("Dropout", to=ALWAYS)
def inference_only(reading: Reading) -> None:
    training = reading.input(2)
    if training is not None and training.is_constant and bool(training.constant):
        reading.refuse("training_mode is true, but networks are run for inference only")


@upgrade("Dropout", to=7)
def is_test_is_gone(reading: Reading) -> None:
    if not reading.attributes.pop("is_test", 0):
        reading.refuse("a node that is made for training (is_test is 0)")


@upgrade("Dropout", to=12)
def ratio_is_an_input(reading: Reading) -> None:
    reading.to_input("ratio", 1, np.float32)
