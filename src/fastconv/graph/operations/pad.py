"""Padding and cropping."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fastconv.graph.operations import shape_rules
from fastconv.graph.operations.shape import sizes
from fastconv.graph.operations.table import Reading, operation, upgrade
from fastconv.typing import Array


@operation("Pad", rule=shape_rules.padded)
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
    if any(size + before + after < 0 for (before, after), size in zip(widths, x.shape, strict=True)):
        raise ValueError(
            f"pads are {tuple(given)}, which take more than there is of an array of shape {x.shape}"
        )
    cut = tuple(
        slice(max(-before, 0), size + min(after, 0))
        for (before, after), size in zip(widths, x.shape, strict=True)
    )
    grown = [(max(before, 0), max(after, 0)) for before, after in widths]
    if mode == "constant":
        fill = x.dtype.type(0) if value is None or not value.size else value.item()
        return np.pad(x[cut], grown, constant_values=fill)
    return np.pad(x[cut], grown, mode=mode)


@upgrade("Pad", to=11)
def pads_are_an_input(reading: Reading) -> None:
    reading.to_input("pads", 1)
    x = reading.inputs[0]
    reading.to_input("value", 2, np.float32 if x is None or x.dtype is None else x.dtype)


@operation("CenterCropPad")
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
