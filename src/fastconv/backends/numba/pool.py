"""Pooling by tables of windows: which kernel does a problem; called by the backend.

A row of results reduces its rows of pixels first, which are contiguous, and then the columns of that one row, those
of all whole windows together. Windows of their own for every plane, positions of maxima and random choices go pixel by
pixel.
"""

from __future__ import annotations

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
    sum_rows,
    sum_windows,
)
from fastconv.backends.numba.totals import PART
from fastconv.problem.pooling import PoolProblem, SlidingWindows, Windows
from fastconv.typing import Array


def pool(problem: PoolProblem, x: Array, out: Array, indices: Array | None, uniforms: Array | None) -> None:
    if x.dtype == bool:
        x, out = bits(x), bits(out)
    source, target = read(x), write(out)
    found = np.empty(0, np.int64) if indices is None else write(indices)
    shape, windows = make_shape(problem), make_windows(problem)
    planes = problem.batch * problem.channels * shape.rows
    channels = problem.channels if shape.channels_last else 1
    lines = planes // channels
    work = out.size * problem.rows.longest * problem.columns.longest
    if problem.reducer == "max":
        if shape.own or (indices is not None and not shape.channels_last):
            parallel.run(max_windows, planes, work, source, target, found, shape, windows)
        elif indices is not None:
            parallel.run(max_channels, lines, work, source, target, found, shape, windows)
        else:
            parallel.run(max_rows, lines, work, source, target, shape, windows, channels)
    elif problem.reducer == "sample":
        assert uniforms is not None
        parallel.run(
            sample_windows, planes, 4 * work, source, read(uniforms), target, found, shape, windows
        )  # fmt: skip
    else:
        mode, power = _mode(problem)
        divisors = make_divisors(problem)
        cost = 20 * work if mode == POWER else work
        # Powers leave the range of float32 long before their means do.
        wide = np.empty(0, x.dtype if mode == SUM else np.float64)
        arguments = source, target, shape, windows, divisors, mode, power, wide
        if shape.own:
            parallel.run(sum_windows, planes, cost, *arguments)
        else:
            parallel.run(sum_rows, lines, cost, *arguments, channels)


def make_shape(problem: PoolProblem) -> PoolShape:
    rows, columns = problem.rows, problem.columns
    return PoolShape(
        problem.channels, *problem.size, rows.count, columns.count, rows.step, columns.step,
        int(rows.own or columns.own), int(problem.channels_last), *_whole_windows(columns),
    )  # fmt: skip


def _whole_windows(w: Windows) -> tuple[int, int, int, int]:
    """The first and the end of those that lie within the image, how far apart they are, and their pixels; 0 for none.

    Many pixels of few windows are reduced faster, or summed with smaller errors, one window after the other.
    """
    if not isinstance(w, SlidingWindows) or w.kernel > PART:
        return 0, 0, 0, 0
    first, end = w.in_front, min(w.count, max(0, (w.size - w.extent - w.first) // w.stride + 1))
    return (first, end, w.stride, w.kernel) if first < end else (0, 0, 0, 0)


def make_windows(problem: PoolProblem) -> WindowBounds:
    """The tables, both with a row for every plane where one of them has."""
    axes = problem.rows.tables(), problem.columns.tables()
    bounds = [bounds for axis in axes for bounds in (axis.start, axis.stop)]
    planes = max(map(len, bounds))
    return WindowBounds(*(read(b if len(b) == planes else np.repeat(b, planes, axis=0)) for b in bounds))


def make_divisors(problem: PoolProblem) -> Divisors:
    return Divisors(read(problem.rows.tables().divisor), read(problem.columns.tables().divisor))


def _mode(problem: PoolProblem) -> tuple[int, float]:
    """How a sum's terms are formed, and the exponent."""
    if problem.reducer == "power":
        return {1.0: ABSOLUTE, 2.0: SQUARE}.get(problem.power, POWER), float(problem.power)
    return (WEIGHTED if problem.reducer == "weighted" else SUM), 1.0
