"""Operations that compare elements along an axis, or run along it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.graph.operations import shape_rules
from fastconv.graph.operations.rules import same
from fastconv.graph.operations.table import Reading, operation, upgrade
from fastconv.typing import Array


def _extreme(x: Array, axis: int, keepdims: int, last: int, find: Any) -> Any:
    if last:
        place = x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis, keepdims=True)
    else:
        place = find(x, axis=axis, keepdims=True)
    place = np.asarray(place, np.int64)
    return place if keepdims else place.squeeze(axis)


@operation("ArgMax", rule=shape_rules.extreme)
def arg_max(x: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
    return _extreme(x, axis, keepdims, select_last_index, np.argmax)


@operation("ArgMin", rule=shape_rules.extreme)
def arg_min(x: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
    return _extreme(x, axis, keepdims, select_last_index, np.argmin)


@operation("TopK", rule=shape_rules.best)
def top_k(x: Array, k: Array, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> Any:
    """Of equal ones the first come first."""
    count = int(k.item())
    if not 0 <= count <= x.shape[axis]:
        raise ValueError(f"TopK: k is {count}, but the axis has {x.shape[axis]}")
    if largest:  # a stable order of what is reversed is that of the largest, later ones first
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis, kind="stable")
    places = np.take(order, np.arange(count), axis).astype(np.int64)
    return np.take_along_axis(x, places, axis), places


@upgrade("TopK", to=10)
def k_is_an_input(reading: Reading) -> None:
    reading.give(1, np.array([reading.attributes.pop("k")], np.int64))


@operation("Unique")
def unique(x: Array, *, axis: int | None = None, sorted: int = 1) -> Any:
    if axis is None:
        x, axis = x.ravel(), 0
    values, first, inverse, counts = np.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    inverse = inverse.ravel()
    if not sorted:  # in the order in which they come
        order = np.argsort(first)
        values, first, counts = np.take(values, order, axis), first[order], counts[order]
        inverse = np.argsort(order)[inverse]
    return (values, *(np.asarray(places, np.int64) for places in (first, inverse, counts)))


def _running(x: Array, axis: Array, exclusive: int, reverse: int, accumulate: Any, start: int) -> Any:
    along = int(axis.item())
    ordered = np.flip(x, along) if reverse else x
    result = accumulate(ordered, axis=along, dtype=x.dtype)
    if exclusive:
        result = np.roll(result, 1, along)
        first: list[Any] = [slice(None)] * x.ndim
        first[along] = slice(0, 1)
        result[tuple(first)] = start
    return np.flip(result, along) if reverse else result


@operation("CumSum", rule=same)
def running_sum(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0) -> Any:
    return _running(x, axis, exclusive, reverse, np.cumsum, 0)


@operation("CumProd", rule=same)
def running_product(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0) -> Any:
    return _running(x, axis, exclusive, reverse, np.cumprod, 1)
