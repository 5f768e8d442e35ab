"""Padding and cropping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from fastconv.graph.graph import Value
from fastconv.graph.operations import shape_rules
from fastconv.graph.operations.shape import sizes
from fastconv.graph.operations.table import Reading, Type, operation, upgrade
from fastconv.problem.padding import Border, sources
from fastconv.typing import Array, PaddingMode

_MODES: dict[str, PaddingMode] = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@operation("Pad", rule=shape_rules.padded, grows=True)
def pad(
    x: Array,
    pads: Array,
    value: Array | None = None,
    axes: Array | None = None,
    *,
    mode: Literal["constant", "reflect", "edge", "wrap"] = "constant",
) -> Any:
    """Elements around an array; negative numbers cut off."""
    along = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in sizes(axes)]
    given = sizes(pads)
    widths = [(0, 0)] * x.ndim
    for place, axis in enumerate(along):
        widths[axis] = given[place], given[place + len(along)]
    fill = 0 if value is None or not value.size else value.item()
    # What makes the array smaller comes first.
    for axis in sorted(range(x.ndim), key=lambda axis: sum(widths[axis])):
        if any(widths[axis]):
            x = _taken(x, axis, pad_sources(x.shape[axis], *widths[axis], mode), fill)
    return x


def pad_sources(size: int, before: int, after: int, mode: str) -> Array:
    """Which of `size` elements each place of the padded axis holds; -1 for the value."""
    padded = size + before + after
    if max(padded, abs(before), abs(after)) > np.iinfo(np.intp).max // 8:
        raise MemoryError(
            f"Pad: an axis of {size}, padded by {before} and {after}, is more than an array can hold"
        )
    if mode == "constant" or not padded:
        return sources(Border(size, before, after), "zeros")
    first = max(-before, 0)
    left = max(size + min(after, 0) - first, 0)
    if not left:
        raise ValueError(
            f"pads are {before} and {after}, mode {mode!r}: nothing is left of an axis of {size}"
        )
    return first + sources(Border(left, max(before, 0), max(after, 0)), _MODES[mode])


def _taken(x: Array, axis: int, places: Array, fill: Any) -> Array:
    if not x.shape[axis]:
        return np.full((*x.shape[:axis], len(places), *x.shape[axis + 1 :]), fill, x.dtype)
    result = np.take(x, np.maximum(places, 0), axis)
    result[(slice(None),) * axis + (places < 0,)] = fill
    return result


@upgrade("Pad", to=11)
def pads_are_an_input(reading: Reading) -> None:
    reading.to_input("pads", 1)
    x = reading.inputs[0]
    reading.to_input("value", 2, np.float32 if x is None or x.dtype is None else x.dtype)


def _centred(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, wanted = shape_rules.first(inputs), shape_rules.integers(inputs, 1)
    if x.shape is None or wanted is None:
        return [Type(x.dtype)]
    axes = attributes.get("axes")
    axes = range(len(x.shape)) if axes is None else axes
    shape_rules.of_length("sizes", wanted, len(axes))
    return [shape_rules.changed(x, dict(zip(axes, wanted, strict=True)))]


@operation("CenterCropPad", rule=_centred, grows=True)
def center_crop_pad(x: Array, shape: Array, *, axes: tuple[int, ...] | None = None) -> Any:
    """Cut off, or add zeros, on both sides alike; the odd element is at the end."""
    for axis, wanted in zip(range(x.ndim) if axes is None else axes, sizes(shape), strict=True):
        size = x.shape[axis]
        if size > wanted:
            first = (size - wanted) // 2
            x = np.take(x, np.arange(first, first + wanted), axis)
        else:
            widths = [(0, 0)] * x.ndim
            before = (wanted - size) // 2
            widths[axis] = before, wanted - size - before
            x = np.pad(x, widths)
    return x
