"""Gradient of pooling by sums; called by the backend.

A thread has a range of the image's rows. For every row of results it makes the row that all their windows
share, and adds that to those of its rows that lie in the windows: each pixel is summed in the order of the
results, whoever has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import device, kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear
from fastconv.backends.numba.pool import make_shape, make_windows
from fastconv.backends.numba.pool_max import Shape, Windows
from fastconv.backends.numba.pool_sum import Divisors
from fastconv.problem.pooling import PoolProblem
from fastconv.typing import Array


def pool_gradient(problem: PoolProblem, grad_output: Array, out: Array) -> None:
    """Of the reducer ``sum``; all planes share the windows."""
    shape = make_shape(problem)
    images = problem.batch * (1 if shape.channels_last else problem.channels)
    divisors = Divisors(read(problem.rows.divisor), read(problem.columns.divisor))
    parallel.run(
        _spread, images * shape.height, out.size + 4 * grad_output.size, read(grad_output), write(out), shape,
        make_windows(problem), divisors, problem.channels if shape.channels_last else 1,
    )  # fmt: skip


@kernel
def _spread(
    start: int, stop: int, grad: Any, out: Any, s: Shape, w: Windows, d: Divisors, channels: int
) -> None:
    """An item is a row of an image; channels first, `channels` is 1 and planes count as images."""
    width = s.width * channels
    line, shares = np.empty(width, out.dtype), np.empty(s.columns * channels, out.dtype)
    item = start
    while item < stop:
        image, first = item // s.height, item % s.height
        last = min(s.height, first + stop - item)
        clear(out, item * width, (item + last - first) * width)
        for i in range(s.rows):
            # The first pixel of the window that is not above the thread's rows.
            above = max(0, (first - w.row_start[i] + s.row_step - 1) // s.row_step)
            top, bottom = w.row_start[i] + above * s.row_step, min(last, w.row_stop[i])
            if top >= bottom:
                continue
            _shares(grad, (image * s.rows + i) * s.columns * channels, d.rows[i], d, channels, shares)
            clear(line, 0, width)
            for j in range(s.columns):
                c = w.column_start[j]
                # Not a range: with a step, that would cost a division.
                while c < w.column_stop[j]:
                    if channels == 1:
                        line[c] += shares[j]
                    else:
                        to, origin = unsigned(c * channels), unsigned(j * channels)
                        for channel in range(unsigned(channels)):
                            line[to + channel] += shares[origin + channel]
                    c += s.column_step
            for row in range(top, bottom, s.row_step):
                to = unsigned((image * s.height + row) * width)
                for c in range(unsigned(width)):
                    out[to + c] += line[c]
        item += last - first


@device
def _shares(grad: Any, origin: int, row: float, d: Divisors, channels: int, shares: Any) -> None:
    """What every pixel of a window gets, for a row of windows."""
    for j in range(d.columns.size):
        divisor = shares.dtype.type(row * d.columns[j])
        for c in range(unsigned(j * channels), unsigned((j + 1) * channels)):
            shares[c] = grad[unsigned(origin) + c] / divisor
