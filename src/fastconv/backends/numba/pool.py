"""Pooling by tables of windows: which kernel does a problem; called by the backend.

Channels first, a row of results reduces its rows of pixels first, which are contiguous, and then the columns
of that one row. Channels last, all channels of a window are reduced side by side. Windows of their own for
every plane, positions of maxima and random choices go pixel by pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import bits, read, write
from fastconv.backends.numba.pool_max import PoolShape, WindowBounds, max_channels, max_rows, max_windows
from fastconv.backends.numba.pool_sum import (
    ABSOLUTE,
    POWER,
    SQUARE,
    SUM,
    WEIGHTED,
    Divisors,
    sample_windows,
    sum_channels,
    sum_rows,
    sum_windows,
)
from fastconv.problem.pooling import PoolProblem
from fastconv.typing import Array


def pool(problem: PoolProblem, x: Array, out: Array, indices: Array | None, uniforms: Array | None) -> None:
    if x.dtype == bool:
        x, out = bits(x), bits(out)
    source, target = read(x), write(out)
    found = np.empty(0, np.int64) if indices is None else write(indices)
    shape, windows = make_shape(problem), make_windows(problem)
    planes = problem.batch * problem.channels * shape.rows
    lines = problem.batch * shape.rows if shape.channels_last else planes
    work = out.size * problem.rows.longest * problem.columns.longest
    if problem.reducer == "max":
        if shape.own or (indices is not None and not shape.channels_last):
            parallel.run(max_windows, planes, work, source, target, found, shape, windows)
        elif shape.channels_last:
            parallel.run(max_channels, lines, work, source, target, found, shape, windows)
        else:
            parallel.run(max_rows, lines, work, source, target, shape, windows)
    elif problem.reducer == "sample":
        assert uniforms is not None
        parallel.run(
            sample_windows, planes, 4 * work, source, read(uniforms), target, found, shape, windows
        )  # fmt: skip
    else:
        mode, power = _mode(problem)
        divisors = make_divisors(problem)
        kernel: Any = sum_channels if shape.channels_last else sum_rows
        if shape.own:
            kernel, lines = sum_windows, planes
        cost = 20 * work if mode == POWER else work
        # Powers leave the range of float32 long before their means do.
        wide = np.empty(0, x.dtype if mode == SUM else np.float64)
        parallel.run(kernel, lines, cost, source, target, shape, windows, divisors, mode, power, wide)


def make_shape(problem: PoolProblem) -> PoolShape:
    rows, columns = problem.rows, problem.columns
    return PoolShape(
        problem.channels, *problem.size, rows.count, columns.count, rows.step, columns.step,
        int(rows.own or columns.own), int(problem.channels_last),
    )  # fmt: skip


def make_windows(problem: PoolProblem) -> WindowBounds:
    """The tables, both with a row for every plane where one of them has."""
    axes = problem.rows.tables(), problem.columns.tables()
    planes = max(len(axis.start) for axis in axes)
    return WindowBounds(
        *(
            read(np.ascontiguousarray(np.broadcast_to(bounds, (planes, bounds.shape[1]))))
            for axis in axes
            for bounds in (axis.start, axis.stop)
        )
    )


def make_divisors(problem: PoolProblem) -> Divisors:
    return Divisors(read(problem.rows.tables().divisor), read(problem.columns.tables().divisor))


def _mode(problem: PoolProblem) -> tuple[int, float]:
    """How a sum's terms are formed, and the exponent."""
    if problem.reducer == "power":
        return {1.0: ABSOLUTE, 2.0: SQUARE}.get(problem.power, POWER), float(problem.power)
    return (WEIGHTED if problem.reducer == "weighted" else SUM), 1.0
