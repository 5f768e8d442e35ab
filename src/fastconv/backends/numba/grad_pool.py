"""Gradient of pooling by sums; called by the backend.

An item is a band of an image's rows. For every row of results that reaches it, the row that all their windows
share is made, and added to those of its rows that lie in the windows: each pixel is summed in the order of the
results, whoever has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import device, kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear
from fastconv.backends.numba.pool import make_divisors, make_shape, make_windows
from fastconv.backends.numba.pool_max import PoolShape, WindowBounds
from fastconv.backends.numba.pool_sum import Divisors
from fastconv.backends.numba.totals import PART, settle, take
from fastconv.problem.pooling import PoolProblem, Windows
from fastconv.typing import Array

# Rows of a band, at most: few enough for their totals to stay in a cache, where so many windows overlap that it takes
# totals.
_BAND = 64
# What there is to share among threads, where rows suffice.
_ITEMS = 16


def pool_gradient(problem: PoolProblem, grad_output: Array, out: Array) -> None:
    """Of the reducer ``sum``; all planes share the windows."""
    shape = make_shape(problem)
    images = problem.batch * (1 if shape.channels_last else problem.channels)
    across, down = _overlap(problem.columns, shape.width), _overlap(problem.rows, shape.height)
    band = max(1, min(_BAND, images * shape.height // _ITEMS))
    bands = -(-shape.height // band)
    # Rows of results, each made once for every band that they reach.
    lines = bands * min(shape.rows, down + band)
    width = out.size // (images * shape.height)
    work = images * width * (lines * (2 + across) + shape.height * (1 + down)) / 4
    parallel.run(
        _spread, images * bands, work, read(grad_output), write(out), shape,
        make_windows(problem), make_divisors(problem), problem.channels if shape.channels_last else 1,
        band, int(max(across, down) > PART),
    )  # fmt: skip


def _overlap(windows: Windows, size: int) -> int:
    """The most windows between whose first and last pixels one pixel lies."""
    first, end, _ = windows.tables()
    change = np.bincount(first[0], minlength=size + 1) - np.bincount(end[0], minlength=size + 1)
    return int(change.cumsum().max())


@kernel
def _spread(
    start: int,
    stop: int,
    grad: Array,
    out: Array,
    s: PoolShape,
    w: WindowBounds,
    d: Divisors,
    channels: int,
    band: int,
    many: int,
) -> None:
    """Channels first, `channels` is 1 and planes count as images."""
    width = s.width * channels
    line, shares = np.empty(width, out.dtype), np.empty(s.columns * channels, out.dtype)
    room, bands = width * many, (s.height + band - 1) // band
    totals, rests = np.empty(band * room, out.dtype), np.empty(band * room, out.dtype)
    line_totals, line_rests = np.empty(room, out.dtype), np.empty(room, out.dtype)
    for item in range(start, stop):
        image, first = item // bands, item % bands * band
        last = min(s.height, first + band)
        rows = out[(image * s.height + first) * width : (image * s.height + last) * width]
        clear(rows, 0, rows.size)
        if many == 1:
            clear(totals, 0, rows.size)
            clear(rests, 0, rows.size)
        for i in range(s.rows):
            if many == 1 and i % PART == 0:
                settle(rows, 0, rows.size, totals, rests)
            # The first pixel of the window that is not above the band.
            above = max(0, (first - w.row_start[i] + s.row_step - 1) // s.row_step)
            top, bottom = w.row_start[i] + above * s.row_step, min(last, w.row_stop[i])
            if top >= bottom:
                continue
            _shares(grad, (image * s.rows + i) * s.columns * channels, d.rows[i], d, channels, shares)
            _row_of_shares(shares, s, w, channels, many, line, line_totals, line_rests)
            for row in range(top, bottom, s.row_step):
                to = unsigned((row - first) * width)
                for c in range(unsigned(width)):
                    rows[to + c] += line[c]
        if many == 1:
            settle(rows, 0, rows.size, totals, rests)
            take(totals, rests, rows.size, rows)


@device
def _row_of_shares(
    shares: Array,
    s: PoolShape,
    w: WindowBounds,
    channels: int,
    many: int,
    line: Array,
    totals: Array,
    rests: Array,
) -> None:
    """What the pixels of a row get from a row of windows."""
    clear(line, 0, line.size)
    clear(totals, 0, totals.size)
    clear(rests, 0, rests.size)
    # The pixels that have got something since the last parts went to the totals.
    low, high = s.width, 0
    for j in range(s.columns):
        c = w.column_start[j]
        if many == 1:
            if j % PART == 0 and low < high:
                settle(line, low * channels, high * channels, totals, rests)
                low, high = s.width, 0
            low, high = min(low, c), max(high, w.column_stop[j])
        # Not a range: with a step, that would cost a division.
        while c < w.column_stop[j]:
            if channels == 1:
                line[c] += shares[j]
            else:
                to, origin = unsigned(c * channels), unsigned(j * channels)
                for channel in range(unsigned(channels)):
                    line[to + channel] += shares[origin + channel]
            c += s.column_step
    if many == 1:
        settle(line, 0, line.size, totals, rests)
        take(totals, rests, line.size, line)


@device
def _shares(grad: Any, origin: int, row: float, d: Divisors, channels: int, shares: Any) -> None:
    """What every pixel of a window gets, for a row of windows."""
    for j in range(d.columns.size):
        divisor = shares.dtype.type(row * d.columns[j])
        for c in range(unsigned(j * channels), unsigned((j + 1) * channels)):
            shares[c] = grad[unsigned(origin) + c] / divisor
