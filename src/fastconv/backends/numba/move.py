"""Primitives that move elements without computing: pad and unfold, for elements of any dtype.

They are compiled for unsigned integers of each size (`compile.bits`), and called by the backend.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import bits, device, kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear, copy, inside
from fastconv.problem.convolution import ConvProblem
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout


def pad(x: Array, rows: Array, columns: Array, value: Any, layout: Layout, out: Array) -> None:
    """``out[.., i, j] = x[.., rows[i], columns[j]]``, or `value` where a table says -1."""
    first = 1 if channels_last(layout) else 2
    planes, channels = (x.shape[0], x.shape[3]) if channels_last(layout) else (x.shape[0] * x.shape[1], 1)
    filler = np.zeros(1, x.dtype)
    if (rows < 0).any() or (columns < 0).any():
        filler[0] = value
    run = longest_run(columns)
    parallel.run(
        _pad, planes * rows.size, out.size, read(bits(x)), read(rows), read(columns), read(bits(filler)),
        x.shape[first], x.shape[first + 1], channels, *run, write(bits(out)),
    )  # fmt: skip


def longest_run(columns: Array) -> tuple[int, int]:
    """Start and end of the longest part of the table that counts up by one: it is copied in one go."""
    starts = np.flatnonzero(np.diff(columns, prepend=columns[0] - 2) != 1)
    ends = np.append(starts[1:], columns.size)
    longest = int(np.argmax(np.where(columns[starts] >= 0, ends - starts, 0)))
    if columns[starts[longest]] < 0:
        return 0, 0
    return int(starts[longest]), int(ends[longest])


@kernel
def _pad(
    start: int, stop: int, x: Array, rows: Array, columns: Array, filler: Array,
    height: int, width: int, channels: int, run_start: int, run_stop: int, out: Array,
) -> None:  # fmt: skip
    """An item is a row of the result; channels first, `channels` is 1 and planes count as images."""
    value = filler[0]
    for item in range(start, stop):
        i, image = item % rows.size, item // rows.size
        target = item * columns.size * channels
        if rows[i] < 0:
            for c in range(unsigned(target), unsigned(target + columns.size * channels)):
                out[c] = value
            continue
        source = (image * height + rows[i]) * width * channels
        _pad_pixels(x, source, columns, 0, run_start, value, channels, out, target)
        if run_start < run_stop:
            origin, length = source + columns[run_start] * channels, (run_stop - run_start) * channels
            copy(x, origin, 1, length, out, target + run_start * channels)
        _pad_pixels(x, source, columns, run_stop, columns.size, value, channels, out, target)


@device
def _pad_pixels(
    x: Array,
    source: int,
    columns: Array,
    first: int,
    last: int,
    value: Array,
    channels: int,
    out: Array,
    target: int,
) -> None:
    for j in range(first, last):
        to = target + j * channels
        if columns[j] >= 0:
            copy(x, source + columns[j] * channels, 1, channels, out, to)
        else:
            for c in range(unsigned(to), unsigned(to + channels)):
                out[c] = value


def unfold(problem: ConvProblem, x: Array, out: Array) -> None:
    parallel.run(
        _unfold, problem.batch * problem.channels * problem.kernel[0] * problem.kernel[1], out.size,
        read(bits(x)), write(bits(out)), *problem.size, *problem.kernel, *problem.stride, *problem.dilation,
        problem.padding[0], problem.padding[2], *problem.out_size,
    )  # fmt: skip


@kernel
def _unfold(
    start: int, stop: int, x: Array, out: Array, height: int, width: int, kernel_h: int, kernel_w: int,
    stride_h: int, stride_w: int, dilation_h: int, dilation_w: int, top: int, left: int,
    rows: int, columns: int,
) -> None:  # fmt: skip
    """An item is a row of the result: one tap of a plane, at every place."""
    for item in range(start, stop):
        down, across = item // kernel_w % kernel_h * dilation_h - top, item % kernel_w * dilation_w - left
        plane = item // (kernel_h * kernel_w)
        low, high = inside(across, stride_w, width, columns)
        for i in range(rows):
            row, to = i * stride_h + down, (item * rows + i) * columns
            if row < 0 or row >= height or low == high:
                clear(out, to, to + columns)
                continue
            clear(out, to, to + low)
            clear(out, to + high, to + columns)
            source = (plane * height + row) * width + low * stride_w + across
            copy(x, source, stride_w, high - low, out, to + low)
