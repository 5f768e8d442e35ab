"""Pads an array: for each axis a table names every output's source.

Called by `pad2d` and by convolutions that pad first.
"""

from __future__ import annotations

from typing import Any

from fastconv.backends.protocol import Backend
from fastconv.execution.memory import empty, memory_errors
from fastconv.problem.layout import spatial_axes
from fastconv.problem.padding import Borders, sources
from fastconv.typing import Array, Layout, PaddingMode


def pad_image(
    op: str,
    backend: Backend,
    x: Array,
    borders: Borders,
    mode: PaddingMode,
    value: Any,
    layout: Layout,
    what: str,
) -> Array:
    """`x` with its borders; `x` is what a backend takes, and so is the result, which an error calls `what`. `value` is
    one that the dtype holds."""
    shape = list(x.shape)
    for border, place in zip(borders, spatial_axes(layout), strict=True):
        shape[place] = border.length
    result = empty(op, tuple(shape), x.dtype, what)
    if result.size:
        with memory_errors(op):
            rows, columns = (sources(border, mode) for border in borders)
            backend.pad(x, rows, columns, value, layout, result)
    return result
