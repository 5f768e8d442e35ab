"""Parts of arrays by their places: slices, gathering and scattering."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fastconv.graph.operations import shape_rules
from fastconv.graph.operations.rules import same
from fastconv.graph.operations.shape import sizes
from fastconv.graph.operations.table import RETIRED, Reading, operation, upgrade
from fastconv.typing import Array


@operation("Slice", rule=shape_rules.sliced)
def slice_of(
    x: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None
) -> Any:
    """As Python's slices, but that 0 is not the default of an end, and that far numbers mean the ends."""
    along = range(starts.size) if axes is None else sizes(axes)
    strides = [1] * starts.size if steps is None else sizes(steps)
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(along, sizes(starts), sizes(ends), strides, strict=True):
        index[axis] = _slice(start, end, step, x.shape[axis])
    return x[tuple(index)]


def _slice(start: int, end: int, step: int, size: int) -> slice:
    start, end, step = shape_rules.bounds(start, end, step, size)
    if step > 0:
        return slice(start, end, step)
    return slice(start, None if end < 0 else end, step) if start >= 0 else slice(0, 0)


@upgrade("Slice", to=10)
def ends_are_inputs(reading: Reading) -> None:
    for place, name in enumerate(("starts", "ends", "axes"), 1):
        reading.to_input(name, place)


@operation("Gather", rule=shape_rules.gathered)
def gather(x: Array, indices: Array, *, axis: int = 0) -> Any:
    return np.take(x, _inside("Gather", indices, x.shape[axis]), axis)


@operation("GatherElements", rule=shape_rules.of_indices)
def gather_elements(x: Array, indices: Array, *, axis: int = 0) -> Any:
    return np.take_along_axis(_cut(x, indices, axis), _inside("GatherElements", indices, x.shape[axis]), axis)


def _inside(op: str, indices: Array, size: int) -> Array:
    """Indices from the front, checked: NumPy would name neither the operation nor the size."""
    if indices.size and (indices.min() < -size or indices.max() >= size):
        raise ValueError(f"{op}: indices from {indices.min()} to {indices.max()}, but the axis has {size}")
    return np.where(indices < 0, indices + size, indices)


def _cut(x: Array, indices: Array, axis: int) -> Array:
    """The part of `x` that indices of a smaller shape walk over."""
    axis %= x.ndim
    return x[tuple(slice(None) if a == axis else slice(size) for a, size in enumerate(indices.shape))]


@operation("GatherND", rule=shape_rules.gathered_nd)
def gather_nd(x: Array, indices: Array, *, batch_dims: int = 0) -> Any:
    return x[_places("GatherND", x, indices, batch_dims)]


def _places(op: str, x: Array, indices: Array, batch: int) -> tuple[Array, ...]:
    """NumPy's index for the rows of `indices`, each of which has a place for every axis from `batch` on."""
    lead = indices.ndim - 1
    own = [
        np.arange(size).reshape((-1,) + (1,) * (lead - axis - 1)) for axis, size in enumerate(x.shape[:batch])
    ]
    depth = indices.shape[-1]
    return (*own, *(_inside(op, indices[..., k], x.shape[batch + k]) for k in range(depth)))


Wrapping = Literal["linear", "circular"]
Reduction = Literal["none", "add", "mul", "max", "min"]
_REDUCTIONS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _put(result: Array, index: Any, updates: Array, reduction: str) -> Array:
    if reduction == "none":
        result[index] = updates
    else:
        _REDUCTIONS[reduction].at(result, index, updates)
    return result


@operation("ScatterElements", rule=same)
def scatter_elements(
    x: Array, indices: Array, updates: Array, *, axis: int = 0, reduction: Reduction = "none"
) -> Any:
    index: list[Any] = list(np.indices(indices.shape, sparse=True))
    index[axis] = _inside("ScatterElements", indices, x.shape[axis])
    return _put(x.copy(), tuple(index), updates, reduction)


@operation("ScatterND", rule=same)
def scatter_nd(x: Array, indices: Array, updates: Array, *, reduction: Reduction = "none") -> Any:
    return _put(x.copy(), _places("ScatterND", x, indices, 0), updates, reduction)


def _is_scatter_elements(reading: Reading) -> None:
    reading.operation = "ScatterElements"


RETIRED["Scatter"] = [(11, _is_scatter_elements)]


@operation("TensorScatter", rule=same)
def tensor_scatter(
    x: Array,
    update: Array,
    start: Array | None = None,
    *,
    axis: int = -2,
    mode: Literal["linear", "circular"] = "linear",
) -> Any:
    """Write the update of each batch from its own start on, in a circle where `mode` says so."""
    result = np.moveaxis(x.copy(), axis, 1)
    new = np.moveaxis(update, axis, 1)
    for batch in range(len(result)):
        first = 0 if start is None else int(start[batch])
        places = first + np.arange(new.shape[1])
        if mode == "circular":
            places %= result.shape[1]
        result[batch, _inside("TensorScatter", places, result.shape[1])] = new[batch]
    return np.moveaxis(result, 1, axis)


@operation("Compress")
def compress(x: Array, condition: Array, *, axis: int | None = None) -> Any:
    return np.compress(condition, x, axis)


@operation("OneHot", rule=shape_rules.one_hot, grows=True)
def one_hot(indices: Array, depth: Array, values: Array, *, axis: int = -1) -> Any:
    count = int(depth.item())
    places = indices.astype(np.int64)
    places = np.where((places < -count) | (places >= count), count, places % max(count, 1))
    axis = axis + indices.ndim + 1 if axis < 0 else axis
    hot = np.expand_dims(places, axis) == np.arange(count).reshape((-1,) + (1,) * (indices.ndim - axis))
    return np.where(hot, values[1], values[0])


@operation("NonZero", rule=shape_rules.nonzero)
def nonzero(x: Array) -> Any:
    return np.array(np.nonzero(x), np.int64).reshape(x.ndim, -1)
