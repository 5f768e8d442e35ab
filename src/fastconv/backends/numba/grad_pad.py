"""Gradient of padding: what was copied from one pixel is added up there; called by the backend."""

from __future__ import annotations

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import device, kernel, read, table, unsigned, write
from fastconv.backends.numba.lines import clear
from fastconv.backends.numba.move import longest_run
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout


def pad_gradient(grad_output: Array, rows: Array, columns: Array, layout: Layout, out: Array) -> None:
    """``out[.., rows[i], columns[j]]`` is the sum of all such ``grad_output[.., i, j]``."""
    if not channels_last(layout):
        planes, (height, width), channels = out.shape[0] * out.shape[1], out.shape[2:], 1
    else:
        planes, height, width, channels = out.shape
    # For each row of the result those that were copied from it, in order.
    order = np.argsort(rows, kind="stable")
    ends = np.searchsorted(rows[order], np.arange(height + 1))
    parallel.run(
        _add_rows, planes * height, grad_output.size, read(grad_output), table(order), table(ends), read(columns),
        rows.size, height, width, channels, *longest_run(columns), write(out),
    )  # fmt: skip


@kernel
def _add_rows(
    start: int, stop: int, grad: Array, order: Array, ends: Array, columns: Array,
    rows: int, height: int, width: int, channels: int, run_start: int, run_stop: int, out: Array,
) -> None:  # fmt: skip
    """An item is a row of the result; channels first, `channels` is 1 and planes count as images."""
    for item in range(start, stop):
        row, image = item % height, item // height
        target = item * width * channels
        clear(out, target, target + width * channels)
        for place in range(ends[row], ends[row + 1]):
            line = (image * rows + order[place]) * columns.size * channels
            if run_start < run_stop:
                to, length = target + columns[run_start] * channels, (run_stop - run_start) * channels
                _add(grad, line + run_start * channels, length, out, to)
            for j in range(columns.size):
                if columns[j] >= 0 and (j < run_start or j >= run_stop):
                    _add(grad, line + j * channels, channels, out, target + columns[j] * channels)


@device
def _add(source: Array, origin: int, count: int, target: Array, start: int) -> None:
    first, to = unsigned(origin), unsigned(start)
    for i in range(unsigned(count)):
        target[to + i] += source[first + i]
