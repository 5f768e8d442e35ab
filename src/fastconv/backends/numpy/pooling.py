"""Pooling by tables of windows, one axis after the other where the reducer allows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastconv.backends.numpy.sums import total
from fastconv.problem.pooling import PoolProblem, Windows
from fastconv.typing import Array


def pool(problem: PoolProblem, x: Array, out: Array, indices: Array | None, uniforms: Array | None) -> None:
    """Fill `out`, and `indices` where given; all arrays are (N, C, H, W) views."""
    if problem.reducer == "max":
        _max(problem, x, out, indices)
    elif problem.reducer == "sample":
        assert uniforms is not None
        _sample(problem, x, out, indices, uniforms)
    elif problem.reducer == "weighted":
        x = x.astype(np.float64)
        weights = _sum(problem, x)
        out[...] = np.divide(_sum(problem, x * x), weights, out=np.zeros_like(weights), where=weights != 0)
    else:
        divisor = divisors(problem)
        if problem.reducer == "sum":
            out[...] = _sum(problem, x) / divisor.astype(x.dtype)
        else:  # powers leave the range of float32 long before their means do
            mean = _sum(problem, np.abs(x.astype(np.float64)) ** problem.power) / divisor
            out[...] = mean ** (1 / problem.power)


def divisors(problem: PoolProblem) -> Array:
    """(oH, oW): what the sum of every window is divided by."""
    return problem.rows.tables().divisor[:, np.newaxis] * problem.columns.tables().divisor


def _elements(x: Array, windows: Windows, axis: int) -> Iterator[tuple[Array, Array, Array]]:
    """For the first, second, ... pixel of every window: its values, its position, and whether it exists."""
    start, stop, _ = windows.tables()
    length = -int((-(stop - start) // windows.step).min())
    shape = (
        (x.shape[0], x.shape[1], windows.count, 1)
        if axis == 2
        else (x.shape[0], x.shape[1], 1, windows.count)
    )
    if not windows.own:
        shape = (1, 1, *shape[2:])
    for i in range(length):
        at = start + i * windows.step
        exists = (at < stop).reshape(shape)
        position = np.minimum(at, stop - 1).reshape(shape)
        if windows.own:
            yield np.take_along_axis(x, position, axis), position, exists
        elif x.flags.c_contiguous:
            yield np.take(x, position.ravel(), axis), position, exists
        else:  # where `np.take` would copy all of `x` for each element
            yield x[(slice(None),) * axis + (position.ravel(),)], position, exists


def _sum(problem: PoolProblem, x: Array) -> Array:
    for axis, windows in ((3, problem.columns), (2, problem.rows)):
        x = total(np.where(exists, values, 0) for values, _, exists in _elements(x, windows, axis))
    return x


def _max(problem: PoolProblem, x: Array, out: Array, indices: Array | None) -> None:
    """Columns first, so that equal maxima go to the first in row-major order."""
    best, column = _max_axis(x, problem.columns, 3)
    best, row = _max_axis(best, problem.rows, 2)
    out[...] = best
    if indices is not None:
        at = np.broadcast_to(row, best.shape)
        column = np.broadcast_to(column, (*best.shape[:2], x.shape[2], best.shape[3]))
        indices[...] = at * problem.size[1] + np.take_along_axis(column, at, axis=2)


def _max_axis(x: Array, windows: Windows, axis: int) -> tuple[Array, Array]:
    best: Any = None
    where: Any = None
    for values, position, exists in _elements(x, windows, axis):
        if best is None:
            best, where = values, np.broadcast_to(position, values.shape)
            continue
        # `values != values` is NaN; the last NaN wins, as in PyTorch.
        wins = exists & ((values > best) | (values != values))
        best, where = np.where(wins, values, best), np.where(wins, position, where)
    return best, where


def _sample(problem: PoolProblem, x: Array, out: Array, indices: Array | None, uniforms: Array) -> None:
    """Element by element in row-major order, until the running sum exceeds the sampled share of the last one."""
    whole: Any = 0.0
    for value, _, exists in _row_major(problem, x):
        whole = whole + np.where(exists, value, 0.0)
    running, best = np.zeros_like(whole), np.zeros_like(whole)
    found = np.zeros(whole.shape, bool)
    where: Any = None
    for value, at, exists in _row_major(problem, x):
        if where is None:
            where = np.broadcast_to(at, whole.shape)
        running += np.where(exists, value, 0.0)
        # The whole total too, as a share may have been rounded up to it.
        wins = ~found & exists & ((running > uniforms * whole) | ((running == whole) & (whole > 0)))
        best, where, found = np.where(wins, value, best), np.where(wins, at, where), found | wins
    out[...] = best
    if indices is not None:
        indices[...] = where


def _row_major(problem: PoolProblem, x: Array) -> Iterator[tuple[Array, Array, Array]]:
    """For every element of the windows in turn: its float64 values, flat positions, and whether it exists."""
    for values, row, row_exists in _elements(x.astype(np.float64), problem.rows, 2):
        for value, column, exists in _elements(values, problem.columns, 3):
            yield value, row * problem.size[1] + column, exists & row_exists
