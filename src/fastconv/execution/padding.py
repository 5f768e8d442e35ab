"""Pads an array: for each axis a table names every output's source.

Called by `pad2d` and by convolutions that pad first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastconv.backends.protocol import Backend
from fastconv.execution.arrays import empty
from fastconv.problem.layout import plane_size, spatial_axes
from fastconv.problem.options import Sides
from fastconv.problem.padding import check_sides, sources
from fastconv.typing import Array, Layout, PaddingMode


def pad_sides(
    op: str, backend: Backend, x: Array, sides: Sides, mode: PaddingMode, value: float, layout: Layout
) -> Array:
    """`x` padded by `sides`; `x` is what a backend takes, and so is the result."""
    shape, tables = padding_tables(op, x.shape, sides, mode, layout)
    return pad_by_tables(op, backend, x, shape, tables, value, layout)


def padding_tables(
    op: str, shape: tuple[int, ...], sides: Sides, mode: PaddingMode, layout: Layout
) -> tuple[tuple[int, ...], list[NDArray[np.int64]]]:
    size = plane_size(shape, layout)
    check_sides(op, sides, mode, size)
    result = list(shape)
    tables = []
    for axis, place in enumerate(spatial_axes(layout)):
        before, after = sides[2 * axis : 2 * axis + 2]
        result[place] += before + after
        empty(op, (result[place],), np.dtype(np.int64))  # refuses what memory cannot hold
        tables.append(sources(size[axis], before, after, mode))
    return tuple(result), tables


def pad_by_tables(
    op: str,
    backend: Backend,
    x: Array,
    shape: tuple[int, ...],
    tables: list[NDArray[np.int64]],
    value: float,
    layout: Layout,
) -> Array:
    result = empty(op, shape, x.dtype)
    backend.pad(x, tables[0], tables[1], value, layout, result)
    return result
