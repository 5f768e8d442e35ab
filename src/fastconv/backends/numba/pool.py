"""Pooling by tables of windows: which kernel of `pool_max.py` and `pool_sum.py` does a problem; called by the backend.

Channels first, a row of results reduces its rows of pixels first, which are contiguous, and then the columns of that
one row. Channels last, all channels of a window are reduced side by side. Windows of their own for every plane,
positions of maxima and random choices go pixel by pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import Array, bits, read, write
from fastconv.backends.numba.pool_max import max_channels, max_rows, max_windows
from fastconv.backends.numba.pool_sum import ABSOLUTE, POWER, SQUARE, SUM, WEIGHTED, sample_windows, sum_channels, sum_rows, sum_windows
from fastconv.windows import PoolProblem


class Shape(NamedTuple):
    """Plain numbers of a pooling; strides are those of a pixel in the image and of a result, in elements."""

    channels: int
    height: int
    width: int
    rows: int
    columns: int
    row_step: int
    column_step: int
    own_windows: int  # 1 where every plane has windows of its own, else 0
    channels_last: int


def pool(problem: PoolProblem, x: Array, out: Array, indices: Array | None, uniforms: Array | None) -> None:
    rows, columns = problem.rows, problem.columns
    last = problem.layout == "NHWC"
    own = rows.start.shape[0] > 1 or columns.start.shape[0] > 1
    planes = problem.batch * problem.channels
    shape = Shape(
        problem.channels, *problem.size, rows.count, columns.count, rows.step, columns.step, int(own), int(last)
    )  # fmt: skip
    tables = [_for_planes(t, planes if own else 1) for t in (rows.start, rows.stop, columns.start, columns.stop)]
    window = int((rows.stop - rows.start).max() // rows.step + 1) * int((columns.stop - columns.start).max() // columns.step + 1)
    lines = problem.batch * rows.count if last and not own else planes * rows.count
    work = out.size * (window if last else window / 2 + 2)
    if problem.reducer == "max":
        if x.dtype == bool:
            x, out = bits(x), bits(out)
        found = np.empty(0, np.int64) if indices is None else write(indices)
        if own or (indices is not None and not last):
            parallel.run(max_windows, planes * rows.count, work, read(x), write(out), found, shape, *tables)
        elif last:
            parallel.run(max_channels, lines, work, read(x), write(out), found, shape, *tables)
        else:
            parallel.run(max_rows, lines, work, read(x), write(out), shape, *tables)
    elif problem.reducer == "sample":
        assert uniforms is not None
        found = np.empty(0, np.int64) if indices is None else write(indices)
        parallel.run(
            sample_windows, planes * rows.count, 4 * work, read(x), read(uniforms), write(out), found, shape, *tables
        )  # fmt: skip
    else:
        mode, power = _mode(problem)
        kernel = sum_windows if own else sum_channels if last else sum_rows
        items = planes * rows.count if own else lines
        effort = work * (20 if mode == POWER else 1)
        divisors = read(rows.divisor), read(columns.divisor)
        parallel.run(kernel, items, effort, read(x), write(out), shape, *tables, *divisors, mode, power)


def _for_planes(starts: Array, planes: int) -> Array:
    return read(np.ascontiguousarray(np.broadcast_to(starts, (planes, starts.shape[1]))))


def _mode(problem: PoolProblem) -> tuple[int, float]:
    """How a sum's terms are formed, and the exponent."""
    if problem.reducer == "power":
        return {1.0: ABSOLUTE, 2.0: SQUARE}.get(problem.power, POWER), float(problem.power)
    return (WEIGHTED if problem.reducer == "weighted" else SUM), 1.0
