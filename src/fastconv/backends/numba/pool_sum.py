"""Pooling by sums: average, L_p, probability-weighted and random choice. Called by `pool.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv.backends.numba.compile import device, kernel, unsigned
from fastconv.backends.numba.lines import clear, copy
from fastconv.backends.numba.pool_max import PoolShape, WindowBounds, places, spans
from fastconv.backends.numba.simd import make_sweep
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
    wide: Array, channels: int,
) -> None:  # fmt: skip
    """An item is a row of results; channels first, `channels` is 1 and planes count as images.

    Sums have the dtype of `wide`; with "weighted", those of squares follow in `line` and in `sums`.
    """
    width, count, kinds = s.width * channels, s.columns * channels, 2 if mode == WEIGHTED else 1
    line, sums = np.empty(kinds * width, wide.dtype), np.empty(kinds * count, wide.dtype)
    totals, rests = np.empty(line.size, wide.dtype), np.empty(line.size, wide.dtype)
    divisors, divided = np.empty(count, wide.dtype), np.nan
    for item in range(start, stop):
        i, image = item % s.rows, item // s.rows
        terms = 0
        clear(line, 0, line.size)
        for row in range(w.row_start[i], w.row_stop[i], s.row_step):
            settle_every(terms, line, line.size, totals, rests)
            _add(line, x, unsigned((image * s.height + row) * width), unsigned(width), mode, power)
            terms += 1
        take_all(terms, line, line.size, totals, rests)
        for kind in range(kinds):
            _sum_columns(line, kind * width, s, w, channels, sums, kind * count)
        if d.rows[i] != divided:
            divided = d.rows[i]
            for q in range(count):
                divisors[q] = divided * d.columns[q // channels]
        to, squares = unsigned(item * count), unsigned(sums.size - count)
        if mode <= ABSOLUTE:
            for q in range(unsigned(count)):
                out[to + q] = sums[q] / divisors[q]
        else:
            for q in range(unsigned(count)):
                out[to + q] = _result(sums[q], sums[squares + q], divisors[q], mode, power)


@device
def _sum_columns(
    line: Array, start: int, s: PoolShape, w: WindowBounds, channels: int, sums: Array, to: int
) -> None:
    """The sums of the windows of a row, whose rows `line` has the sums of."""
    groups, length, step = spans(s, channels)
    for group in range(groups):
        origin = start + (w.column_start[s.whole] + group * s.stride) * channels
        at = to + (s.whole + group) * channels
        copy(line, origin, step, length, sums, at)
        for _ in range(1, s.kernel):
            origin += s.column_step * channels
            _plus(line, origin, step, length, sums, at)
    j = 0
    while j < s.columns:
        if s.whole <= j < s.whole_end:
            j = s.whole_end
            continue
        first, last = start + w.column_start[j] * channels, start + w.column_stop[j] * channels
        for c in range(channels):
            sums[to + j * channels + c] = line_sum(line, first + c, last + c, s.column_step * channels)
        j += 1


def _sum(builder: Any, dtype: Any, left: Any, right: Any) -> Any:
    return builder.fadd(left, right)


_plus_row, _plus_half = make_sweep(_sum, 1), make_sweep(_sum, 2)


@device
def _plus(source: Array, origin: int, step: int, count: int, target: Array, start: int) -> None:
    """Add `count` numbers of `source` to those in `target`."""
    if step == 1:
        _plus_row(source, origin, count, target, start)
    elif step == 2:
        _plus_half(source, origin, count, target, start)
    else:
        first, to, stride = unsigned(origin), unsigned(start), unsigned(step)
        for i in range(unsigned(count)):
            target[to + i] += source[first + stride * i]


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
