"""Adds overlapping windows back into an image (col2im); called by the backend."""

from __future__ import annotations

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear, inside
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
    """An item is a row of the image. A thread looks at every row of columns, and adds those that meet its rows."""
    step = unsigned(stride_w)
    item = start
    while item < stop:
        plane, first = item // height, item % height
        last = min(height, first + stop - item)
        clear(out, item * width, (item + last - first) * width)
        for down in range(kernel_h):
            low, high = inside(down * dilation_h - top - first, stride_h, last - first, rows)
            for i in range(low, high):
                line = plane * height + i * stride_h + down * dilation_h - top
                for across in range(kernel_w):
                    offset = across * dilation_w - left
                    left_out, right_out = inside(offset, stride_w, width, columns)
                    tap = (plane * kernel_h + down) * kernel_w + across
                    source = unsigned((tap * rows + i) * columns + left_out)
                    target = unsigned(line * width + left_out * stride_w + offset)
                    for j in range(unsigned(right_out - left_out)):
                        out[target + j * step] += x[source + j]
        item += last - first
