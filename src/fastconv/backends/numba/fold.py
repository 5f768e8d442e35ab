"""Adds overlapping windows back into an image (col2im); called by the backend."""

from __future__ import annotations

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear, inside
from fastconv.backends.numba.totals import PART, settle_every, take_all
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array

# Rows of an image.
_BAND = 32


def fold(problem: ConvProblem, columns: Array, out: Array) -> None:
    parallel.run(
        _fold, problem.batch * problem.channels * problem.size[0], columns.size, read(columns), write(out),
        *problem.size, *problem.kernel, *problem.stride, *problem.dilation,
        problem.padding[0], problem.padding[2], *problem.out_size,
    )  # fmt: skip


@kernel
def _fold(
    start: int, stop: int, x: Array, out: Array, height: int, width: int, kernel_h: int, kernel_w: int,
    stride_h: int, stride_w: int, dilation_h: int, dilation_w: int, top: int, left: int,
    rows: int, columns: int,
) -> None:  # fmt: skip
    """An item is a row of the image. A thread looks at every row of columns, and adds those that meet its rows."""
    step = unsigned(stride_w)
    taps, item = kernel_h * kernel_w, start
    # Where so many taps meet that they take totals, a thread has few rows at a time.
    band = _BAND if taps > PART else height
    room = band * width if taps > PART else 0
    totals, rests = np.empty(room, out.dtype), np.empty(room, out.dtype)
    while item < stop:
        plane, first = item // height, item % height
        last = min(height, first + stop - item, first + band)
        own = out[item * width : (item + last - first) * width]
        clear(own, 0, own.size)
        for tap in range(taps):
            settle_every(tap, own, own.size, totals, rests)
            down, across = tap // kernel_w * dilation_h - top, tap % kernel_w * dilation_w - left
            low, high = inside(down - first, stride_h, last - first, rows)
            left_out, right_out = inside(across, stride_w, width, columns)
            for i in range(low, high):
                source = unsigned(((plane * taps + tap) * rows + i) * columns + left_out)
                target = unsigned((i * stride_h + down - first) * width + left_out * stride_w + across)
                for j in range(unsigned(right_out - left_out)):
                    own[target + j * step] += x[source + j]
        take_all(taps, own, own.size, totals, rests)
        item += last - first
