"""Adds overlapping windows back into an image (col2im); called by the backend."""

from __future__ import annotations

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear, copy, inside
from fastconv.backends.numba.totals import settle_every, take_all
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array


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
    """An item is a row of the image, which gathers from every tap that meets it."""
    step = unsigned(stride_w)
    sums, totals, rests = np.empty(width, out.dtype), np.empty(width, out.dtype), np.empty(width, out.dtype)
    for item in range(start, stop):
        y, plane, terms = item % height, item // height, 0
        clear(sums, 0, width)
        for down in range(kernel_h):
            row = y + top - down * dilation_h
            if row < 0 or row % stride_h != 0 or row // stride_h >= rows:
                continue
            for across in range(kernel_w):
                settle_every(terms, sums, width, totals, rests)
                terms += 1
                offset = across * dilation_w - left
                low, high = inside(offset, stride_w, width, columns)
                tap = (plane * kernel_h + down) * kernel_w + across
                source = unsigned((tap * rows + row // stride_h) * columns + low)
                target = unsigned(low * stride_w + offset)
                for j in range(unsigned(high - low)):
                    sums[target + j * step] += x[source + j]
        take_all(terms, sums, width, totals, rests)
        copy(sums, 0, 1, width, out, item * width)
