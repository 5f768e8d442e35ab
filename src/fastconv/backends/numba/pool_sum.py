"""Pooling by sums: average, L_p, probability-weighted and random choice. Called by `pool.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba.compile import device, kernel
from fastconv.backends.numba.pool_max import places

# How a sum's terms are formed.
SUM, ABSOLUTE, SQUARE, POWER, WEIGHTED = range(5)


@device
def _add(sums: Any, at: int, x: Any, origin: int, count: int, squares: int, mode: int, power: float) -> None:
    """Add the terms of `count` pixels side by side; "weighted" also their squares, at `squares`."""
    exponent = x.dtype.type(power)
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
            sums[at + i] += abs(x[origin + i]) ** exponent
    else:
        for i in range(count):
            sums[at + i] += x[origin + i]
            sums[squares + i] += x[origin + i] * x[origin + i]


@device
def _result(total: Any, squares: Any, divisor: Any, mode: int, power: float) -> Any:
    if mode == WEIGHTED:
        return squares / total if total != 0 else squares * 0
    mean = total / divisor
    if mode == SQUARE:
        return np.sqrt(mean)
    if mode == POWER:
        return mean ** (divisor.dtype.type(1 / power))
    return mean


@kernel
def sum_rows(
    start: int, stop: int, x: Any, out: Any, s: Any, row_start: Any, row_stop: Any, column_start: Any, column_stop: Any,
    row_divisor: Any, column_divisor: Any, mode: int, power: float,
) -> None:  # fmt: skip
    """Channels first. An item is a row of results of a plane."""
    line = np.empty(2 * s.width, x.dtype)
    width, none = np.uintp(s.width), np.uintp(0)
    for item in range(start, stop):
        i, plane = item % s.rows, item // s.rows
        line[:] = 0
        for row in range(row_start[i], row_stop[i], s.row_step):
            _add(line, none, x, np.uintp((plane * s.height + row) * s.width), width, width, mode, power)
        for j in range(s.columns):
            total, squares = x.dtype.type(0), x.dtype.type(0)
            for c in range(column_start[j], column_stop[j], s.column_step):
                total += line[c]
                squares += line[s.width + c]
            divisor = x.dtype.type(row_divisor[i] * column_divisor[j])
            out[item * s.columns + j] = _result(total, squares, divisor, mode, power)


@kernel
def sum_channels(
    start: int, stop: int, x: Any, out: Any, s: Any, row_start: Any, row_stop: Any, column_start: Any, column_stop: Any,
    row_divisor: Any, column_divisor: Any, mode: int, power: float,
) -> None:  # fmt: skip
    """Channels last. An item is a row of results of an image."""
    sums = np.empty(2 * s.channels, x.dtype)
    channels, none = np.uintp(s.channels), np.uintp(0)
    for item in range(start, stop):
        i, image = item % s.rows, item // s.rows
        for j in range(s.columns):
            sums[:] = 0
            for row in range(row_start[i], row_stop[i], s.row_step):
                for column in range(column_start[j], column_stop[j], s.column_step):
                    origin = np.uintp(((image * s.height + row) * s.width + column) * s.channels)
                    _add(sums, none, x, origin, channels, channels, mode, power)
            divisor = x.dtype.type(row_divisor[i] * column_divisor[j])
            to = np.uintp((item * s.columns + j) * s.channels)
            for c in range(channels):
                out[to + c] = _result(sums[c], sums[channels + c], divisor, mode, power)


@kernel
def sum_windows(
    start: int, stop: int, x: Any, out: Any, s: Any, row_start: Any, row_stop: Any, column_start: Any, column_stop: Any,
    row_divisor: Any, column_divisor: Any, mode: int, power: float,
) -> None:  # fmt: skip
    """Windows of their own for every plane, in both layouts. An item is a row of results of a plane."""
    pixel = s.channels if s.channels_last == 1 else 1
    sums = np.empty(2, x.dtype)
    for item in range(start, stop):
        i, plane = item % s.rows, item // s.rows
        origin, to = places(plane, i, s)
        for j in range(s.columns):
            sums[:] = 0
            for row in range(row_start[plane * s.rows + i], row_stop[plane * s.rows + i], s.row_step):
                for column in range(column_start[plane * s.columns + j], column_stop[plane * s.columns + j], s.column_step):
                    _add(sums, 0, x, origin + (row * s.width + column) * pixel, 1, 1, mode, power)
            divisor = x.dtype.type(row_divisor[i] * column_divisor[j])
            out[to + j * pixel] = _result(sums[0], sums[1], divisor, mode, power)


@kernel
def sample_windows(
    start: int, stop: int, x: Any, uniforms: Any, out: Any, indices: Any, s: Any,
    row_start: Any, row_stop: Any, column_start: Any, column_stop: Any,
) -> None:  # fmt: skip
    """The pixel at which the running sum exceeds a random share of the total. An item is a row of results of a plane."""
    pixel = s.channels if s.channels_last == 1 else 1
    for item in range(start, stop):
        i, plane = item % s.rows, item // s.rows
        own = plane if s.own_windows == 1 else 0
        first_row, last_row = row_start[own * s.rows + i], row_stop[own * s.rows + i]
        origin, to = places(plane, i, s)
        for j in range(s.columns):
            first_column, last_column = column_start[own * s.columns + j], column_stop[own * s.columns + j]
            total = 0.0
            for row in range(first_row, last_row, s.row_step):
                line = 0.0
                for column in range(first_column, last_column, s.column_step):
                    line += np.float64(x[origin + (row * s.width + column) * pixel])
                total += line
            share = uniforms[to + j * pixel] * total
            running, best, found = 0.0, x.dtype.type(0), -1
            for row in range(first_row, last_row, s.row_step):
                for column in range(first_column, last_column, s.column_step):
                    value = x[origin + (row * s.width + column) * pixel]
                    running += np.float64(value)
                    if found < 0 and running > share:
                        best, found = value, row * s.width + column
            out[to + j * pixel] = best
            if indices.size > 0:
                # Where nothing has any weight the first pixel's place stands for the value 0.
                indices[to + j * pixel] = found if found >= 0 else first_row * s.width + first_column
