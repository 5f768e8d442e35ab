"""Pooling by sums: average, L_p, probability-weighted and random choice. Called by `pool.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv.backends.numba.compile import device, kernel, unsigned
from fastconv.backends.numba.pool_max import Shape, Windows, places
from fastconv.typing import Array

# How a sum's terms are formed.
SUM, ABSOLUTE, SQUARE, POWER, WEIGHTED = range(5)


class Divisors(NamedTuple):
    """What a sum is divided by: the product of that of its row and of its column."""

    rows: Array
    columns: Array


@device
def _add(sums: Any, at: Any, x: Any, origin: Any, count: Any, squares: Any, mode: int, power: Any) -> None:
    """Add the terms of `count` pixels side by side; "weighted" also their squares, at `squares`."""
    if mode == SUM:
        for i in range(count):
            sums[at + i] += x[origin + i]
    elif mode == ABSOLUTE:
        for i in range(count):
            sums[at + i] += abs(x[origin + i])
    elif mode == SQUARE:
        for i in range(count):
            sums[at + i] += x[origin + i] * x[origin + i]
    elif mode == POWER:
        for i in range(count):
            sums[at + i] += abs(x[origin + i]) ** power
    else:
        for i in range(count):
            sums[at + i] += x[origin + i]
            sums[squares + i] += x[origin + i] * x[origin + i]


@device
def _result(total: Any, squares: Any, divisor: Any, mode: int, power: Any) -> Any:
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
    start: int, stop: int, x: Any, out: Any, s: Shape, w: Windows, d: Divisors, mode: int, exponent: float
) -> None:
    """Channels first. An item is a row of results of a plane."""
    line, power = np.empty(2 * s.width, x.dtype), x.dtype.type(exponent)
    width, none = unsigned(s.width), unsigned(0)
    for item in range(start, stop):
        i, plane = item % s.rows, item // s.rows
        line[:] = 0
        for row in range(w.row_start[i], w.row_stop[i], s.row_step):
            _add(line, none, x, unsigned((plane * s.height + row) * s.width), width, width, mode, power)
        for j in range(s.columns):
            total, squares, c = x.dtype.type(0), x.dtype.type(0), w.column_start[j]
            # Not a range: with a step, that would cost a division.
            while c < w.column_stop[j]:
                total += line[c]
                squares += line[s.width + c]
                c += s.column_step
            divisor = x.dtype.type(d.rows[i] * d.columns[j])
            out[item * s.columns + j] = _result(total, squares, divisor, mode, power)


@kernel
def sum_channels(
    start: int, stop: int, x: Any, out: Any, s: Shape, w: Windows, d: Divisors, mode: int, exponent: float
) -> None:
    """Channels last. An item is a row of results of an image."""
    sums, power = np.empty(2 * s.channels, x.dtype), x.dtype.type(exponent)
    channels, none = unsigned(s.channels), unsigned(0)
    for item in range(start, stop):
        i, image = item % s.rows, item // s.rows
        for j in range(s.columns):
            sums[:] = 0
            for row in range(w.row_start[i], w.row_stop[i], s.row_step):
                for column in range(w.column_start[j], w.column_stop[j], s.column_step):
                    origin = unsigned(((image * s.height + row) * s.width + column) * s.channels)
                    _add(sums, none, x, origin, channels, channels, mode, power)
            divisor = x.dtype.type(d.rows[i] * d.columns[j])
            to = unsigned((item * s.columns + j) * s.channels)
            for c in range(channels):
                out[to + c] = _result(sums[c], sums[channels + c], divisor, mode, power)


@kernel
def sum_windows(
    start: int, stop: int, x: Any, out: Any, s: Shape, w: Windows, d: Divisors, mode: int, exponent: float
) -> None:
    """Windows of their own for every plane, in both layouts. An item is a row of results of a plane."""
    pixel = s.channels if s.channels_last == 1 else 1
    sums, power = np.empty(2, x.dtype), x.dtype.type(exponent)
    for item in range(start, stop):
        i, plane = item % s.rows, item // s.rows
        down, across = plane * s.own * s.rows + i, plane * s.own * s.columns
        origin, to = places(plane, i, s)
        for j in range(s.columns):
            sums[:] = 0
            for row in range(w.row_start[down], w.row_stop[down], s.row_step):
                for column in range(w.column_start[across + j], w.column_stop[across + j], s.column_step):
                    _add(sums, 0, x, origin + (row * s.width + column) * pixel, 1, 1, mode, power)
            divisor = x.dtype.type(d.rows[i] * d.columns[j])
            out[to + j * pixel] = _result(sums[0], sums[1], divisor, mode, power)


@kernel
def sample_windows(
    start: int, stop: int, x: Any, uniforms: Any, out: Any, indices: Any, s: Shape, w: Windows
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
