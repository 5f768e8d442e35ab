"""Pads an array: for each axis a table names every output's source.

Called by `pad2d` and by convolutions that pad first.
"""

from __future__ import annotations

from fastconv.backends.protocol import Backend
from fastconv.execution.memory import empty, memory_errors
from fastconv.problem.layout import plane_size, spatial_axes
from fastconv.problem.options import Sides
from fastconv.problem.padding import sources
from fastconv.typing import Array, Layout, PaddingMode


def pad_sides(
    op: str,
    backend: Backend,
    x: Array,
    sides: Sides,
    mode: PaddingMode,
    value: float,
    layout: Layout,
    what: str,
) -> Array:
    """`x` padded by `sides`; `x` is what a backend takes, and so is the result, which an error calls `what`."""
    shape = list(x.shape)
    for axis, place in enumerate(spatial_axes(layout)):
        shape[place] += sides[2 * axis] + sides[2 * axis + 1]
    result = empty(op, tuple(shape), x.dtype, what)
    if result.size:
        with memory_errors(op):
            height, width = plane_size(x.shape, layout)
            rows, columns = sources(height, *sides[:2], mode), sources(width, *sides[2:], mode)
            backend.pad(x, rows, columns, value, layout, result)
    return result
