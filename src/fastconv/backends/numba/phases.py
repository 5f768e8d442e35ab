"""Transposed convolution with a large stride and kernel: result by result, each from the few taps that it meets.

As passes (`passes.py`) it would be hundreds, of little work each. An item is a row of results of an image. Called
by `conv.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import device, kernel, read, table, unsigned
from fastconv.backends.numba.epilogue import Code, finish
from fastconv.backends.numba.geometry import nanoseconds
from fastconv.backends.numba.lines import clear, copy
from fastconv.backends.numba.passes import AxisPass, axis_passes
from fastconv.backends.numba.weights import channel_counts
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array


class AxisPasses(NamedTuple):
    """Of the passes along an axis, in order: the first result, its first tap, and the pixel that they meet."""

    start: Array
    tap: Array
    pixel: Array
    step: int  # from one tap of a pass to the next
    back: int  # and how many pixels before it that one meets


class PhasesShape(NamedTuple):
    """Plain numbers: the sizes of the result, of the operand, of the kernel; and how far apart elements are."""

    height: int
    width: int
    rows: int
    columns: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    groups: int
    inner: int  # channels of a group of the operand
    outer: int  # and of the result
    pixel: int  # of the operand: from one pixel to the next, from one channel
    channel: int
    out_pixel: int
    out_channel: int


def conv_phases(
    problem: ConvProblem,
    x: Array,
    weight: Array,
    bias: Array,
    residual: Array,
    activation: Code | None,
    out: Array,
) -> None:
    """`weight` is (tap, group, channel of the operand, channel of the result)."""
    inner, outer = channel_counts(problem)
    pixels, results = problem.out_size[0] * problem.out_size[1], problem.size[0] * problem.size[1]
    shape = PhasesShape(
        *problem.size, *problem.out_size, *problem.kernel, *problem.stride, problem.groups, inner, outer,
        *((inner * problem.groups, 1) if problem.channels_last else (1, pixels)),
        *((outer * problem.groups, 1) if problem.channels_last else (1, results)),
    )  # fmt: skip
    parallel.run(
        _conv, problem.batch * problem.size[0], nanoseconds(problem) + 10 * out.size, read(x), weight, bias,
        residual, activation, out, shape, _tables(problem, 0), _tables(problem, 1),
    )  # fmt: skip


def _tables(problem: ConvProblem, axis: int) -> AxisPasses:
    passes: list[AxisPass] = sorted(
        (a for a in axis_passes(problem, axis) if a is not None), key=lambda a: a.start
    )
    several = [a for a in passes if len(a.taps) > 1]
    step = several[0].taps[1] - several[0].taps[0] if several else problem.kernel[axis]
    back = several[0].offsets[0] - several[0].offsets[1] if several else 0
    starts = ([a.start for a in passes], [a.taps[0] for a in passes], [a.offsets[0] for a in passes])
    start, tap, pixel = map(table, starts)
    return AxisPasses(start, tap, pixel, step, back)


@kernel
def _conv(
    start: int, stop: int, x: Any, weight: Any, bias: Any, residual: Any, activation: Code | None, out: Any,
    s: PhasesShape, rows: AxisPasses, columns: AxisPasses,
) -> None:  # fmt: skip
    sums = np.empty(s.outer, x.dtype)
    for item in range(start, stop):
        row, image = item % s.height, item // s.height
        down = _find(rows.start, row % s.stride_h)
        source = image * s.rows * s.columns * s.groups * s.inner
        target = image * s.height * s.width * s.groups * s.outer
        for column in range(s.width):
            across = _find(columns.start, column % s.stride_w)
            for group in range(s.groups):
                if bias.size > 0:
                    copy(bias, group * s.outer, 1, s.outer, sums, 0)
                else:
                    clear(sums, 0, s.outer)
                if down >= 0 and across >= 0:
                    _add_taps(x, source, weight, group, row, column, down, across, s, rows, columns, sums)
                at = target + (row * s.width + column) * s.out_pixel + group * s.outer * s.out_channel
                finish(sums, 0, s.outer, residual, activation, out, at, s.out_channel)


@device
def _find(starts: Any, start: int) -> int:
    """Where `start` is in the ascending table; -1 if it is not."""
    low, high = 0, starts.size
    while low < high:
        middle = (low + high) // 2
        if starts[middle] < start:
            low = middle + 1
        else:
            high = middle
    return low if low < starts.size and starts[low] == start else -1


@device
def _add_taps(
    x: Any, source: int, weight: Any, group: int, row: int, column: int, down: int, across: int, s: PhasesShape,
    rows: AxisPasses, columns: AxisPasses, sums: Any,
) -> None:  # fmt: skip
    """Add the products of a result's taps to the sums of its channels in a group."""
    y = rows.pixel[down] + row // s.stride_h
    for r in range(rows.tap[down], s.kernel_h, rows.step):
        pixel = columns.pixel[across] + column // s.stride_w
        for t in range(columns.tap[across], s.kernel_w, columns.step):
            if 0 <= y < s.rows and 0 <= pixel < s.columns:
                at = source + (y * s.columns + pixel) * s.pixel + group * s.inner * s.channel
                w = unsigned((((r * s.kernel_w + t) * s.groups + group) * s.inner) * s.outer)
                for channel in range(s.inner):
                    value = x[unsigned(at + channel * s.channel)]
                    for f in range(unsigned(s.outer)):
                        sums[f] += value * weight[w + f]
                    w += unsigned(s.outer)
            pixel -= columns.back
        y -= rows.back
