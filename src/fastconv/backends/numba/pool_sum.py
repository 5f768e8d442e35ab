"""Pooling by sums: average, L_p, probability-weighted and random choice. Called by `pool.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv.backends.numba.compile import device, kernel, unsigned
from fastconv.backends.numba.pool_max import PoolShape, WindowBounds, places
from fastconv.backends.numba.totals import line_sum, settle_every, take_all
from fastconv.typing import Array

# How a sum's terms are formed.
SUM, ABSOLUTE, SQUARE, POWER, WEIGHTED = range(5)


class Divisors(NamedTuple):
    """What a sum is divided by: the product of that of its row and of its column."""

    rows: Array
    columns: Array


@device
def _add(sums: Array, x: Array, origin: Any, count: Any, mode: int, power: float) -> None:
    """Add the terms of `count` pixels side by side; "weighted" also their squares, behind the sums."""
    number = sums.dtype.type
    if mode == SUM:
        for i in range(count):
            sums[i] += x[origin + i]
    elif mode == ABSOLUTE:
        for i in range(count):
            sums[i] += abs(number(x[origin + i]))
    elif mode == SQUARE:
        for i in range(count):
            sums[i] += number(x[origin + i]) * number(x[origin + i])
    elif mode == POWER:
        for i in range(count):
            sums[i] += abs(number(x[origin + i])) ** power
    else:
        for i in range(count):
            sums[i] += number(x[origin + i])
            sums[count + i] += number(x[origin + i]) * number(x[origin + i])


@device
def _result(total: Any, squares: Any, divisor: Any, mode: int, power: float) -> Any:
    if mode == WEIGHTED:
        return squares / total if total != 0 else total
    mean = total / divisor
    if mode == SQUARE:
        return np.sqrt(mean)
    if mode == POWER:
        return mean ** (1 / power)
    return mean


@kernel
def sum_rows(
    start: int, stop: int, x: Array, out: Array, s: PoolShape, w: WindowBounds, d: Divisors, mode: int, power: float,
    wide: Array,
) -> None:  # fmt: skip
    """Channels first. An item is a row of results of a plane; sums have the dtype of `wide`."""
    used = 2 * s.width if mode == WEIGHTED else s.width
    line, totals, rests = np.empty(used, wide.dtype), np.empty(used, wide.dtype), np.empty(used, wide.dtype)
    width = unsigned(s.width)
    for item in range(start, stop):
        i, plane = item % s.rows, item // s.rows
        terms = 0
        line[:] = 0
        for row in range(w.row_start[i], w.row_stop[i], s.row_step):
            settle_every(terms, line, used, totals, rests)
            _add(line, x, unsigned((plane * s.height + row) * s.width), width, mode, power)
            terms += 1
        take_all(terms, line, used, totals, rests)
        for j in range(s.columns):
            first, last = w.column_start[j], w.column_stop[j]
            total, squares = line_sum(line, first, last, s.column_step), wide.dtype.type(0)
            if mode == WEIGHTED:
                squares = line_sum(line, s.width + first, s.width + last, s.column_step)
            divisor = wide.dtype.type(d.rows[i] * d.columns[j])
            out[item * s.columns + j] = _result(total, squares, divisor, mode, power)


@kernel
def sum_channels(
    start: int, stop: int, x: Array, out: Array, s: PoolShape, w: WindowBounds, d: Divisors, mode: int, power: float,
    wide: Array,
) -> None:  # fmt: skip
    """Channels last. An item is a row of results of an image."""
    used = 2 * s.channels if mode == WEIGHTED else s.channels
    sums, totals, rests = np.empty(used, wide.dtype), np.empty(used, wide.dtype), np.empty(used, wide.dtype)
    channels = unsigned(s.channels)
    for item in range(start, stop):
        i, image = item % s.rows, item // s.rows
        for j in range(s.columns):
            terms = 0
            sums[:] = 0
            for row in range(w.row_start[i], w.row_stop[i], s.row_step):
                for column in range(w.column_start[j], w.column_stop[j], s.column_step):
                    settle_every(terms, sums, used, totals, rests)
                    origin = unsigned(((image * s.height + row) * s.width + column) * s.channels)
                    _add(sums, x, origin, channels, mode, power)
                    terms += 1
            take_all(terms, sums, used, totals, rests)
            divisor = wide.dtype.type(d.rows[i] * d.columns[j])
            to = unsigned((item * s.columns + j) * s.channels)
            for c in range(channels):
                squares = sums[channels + c] if mode == WEIGHTED else wide.dtype.type(0)
                out[to + c] = _result(sums[c], squares, divisor, mode, power)


@kernel
def sum_windows(
    start: int, stop: int, x: Array, out: Array, s: PoolShape, w: WindowBounds, d: Divisors, mode: int, power: float,
    wide: Array,
) -> None:  # fmt: skip
    """Windows of their own for every plane, in both layouts. An item is a row of results of a plane."""
    pixel = s.channels if s.channels_last == 1 else 1
    sums, totals, rests = np.empty(2, wide.dtype), np.empty(2, wide.dtype), np.empty(2, wide.dtype)
    for item in range(start, stop):
        i, plane = item % s.rows, item // s.rows
        down, across = plane * s.own * s.rows + i, plane * s.own * s.columns
        origin, to = places(plane, i, s)
        for j in range(s.columns):
            terms = 0
            sums[:] = 0
            for row in range(w.row_start[down], w.row_stop[down], s.row_step):
                for column in range(w.column_start[across + j], w.column_stop[across + j], s.column_step):
                    settle_every(terms, sums, 2, totals, rests)
                    _add(sums, x, origin + (row * s.width + column) * pixel, 1, mode, power)
                    terms += 1
            take_all(terms, sums, 2, totals, rests)
            divisor = wide.dtype.type(d.rows[i] * d.columns[j])
            out[to + j * pixel] = _result(sums[0], sums[1], divisor, mode, power)


@kernel
def sample_windows(
    start: int, stop: int, x: Any, uniforms: Any, out: Any, indices: Any, s: PoolShape, w: WindowBounds
) -> None:
    """The pixel at which the running sum exceeds a random share of the total. Items as in `sum_windows`."""
    pixel = s.channels if s.channels_last == 1 else 1
    for item in range(start, stop):
        i, plane = item % s.rows, item // s.rows
        down, across = plane * s.own * s.rows + i, plane * s.own * s.columns
        origin, to = places(plane, i, s)
        for j in range(s.columns):
            first, last = w.column_start[across + j], w.column_stop[across + j]
            total = 0.0
            for row in range(w.row_start[down], w.row_stop[down], s.row_step):
                for column in range(first, last, s.column_step):
                    total += np.float64(x[origin + (row * s.width + column) * pixel])
            share = uniforms[to + j * pixel] * total
            running, best, found = 0.0, x.dtype.type(0), -1
            for row in range(w.row_start[down], w.row_stop[down], s.row_step):
                for column in range(first, last, s.column_step):
                    value = x[origin + (row * s.width + column) * pixel]
                    running += np.float64(value)
                    # The whole total too, as `share` may have been rounded up to it.
                    if found < 0 and (running > share or (running == total and total > 0)):
                        best, found = value, row * s.width + column
            out[to + j * pixel] = best
            if indices.size > 0:
                # Where nothing has any weight, the first pixel's place stands for the value 0.
                indices[to + j * pixel] = found if found >= 0 else w.row_start[down] * s.width + first
