"""Convolution of channels-first images: copied rows of pixels, multiplied by six filters at a time.

An item is one row of results of a group of an image (and a part of its filters). Items that follow each other are
done as a band: its pixels are copied with padding, one copy for every column of the kernel, so that the pixels that
a tap sees are contiguous over the whole band. Called by `conv.py`; `deform.py` shares the sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba.compile import device, kernel
from fastconv.backends.numba.epilogue import finish
from fastconv.backends.numba.gemm import TILE_ROWS, multiply, multiply_thin
from fastconv.backends.numba.geometry import Geometry


@kernel
def conv_nchw(
    start: int, stop: int, x: Any, weight: Any, bias: Any, residual: Any, activation: tuple[int, float, float], out: Any,
    g: Geometry, slot_rows: Any, columns: Any, a_rows: Any, a_taps: Any, b_taps: Any,
) -> None:  # fmt: skip
    copied = g.inner * columns.size * g.plane
    pixels = np.empty(copied + g.lanes, x.dtype)
    pixels[copied:] = 0
    sums = np.empty((g.part + TILE_ROWS) * g.block, x.dtype)
    item = start
    while item < stop:
        row, rest = item % g.rows, item // g.rows
        group, rest = rest % g.groups, rest // g.groups
        image, first = rest % g.batch, rest // g.batch * g.part
        rows = min(g.band, g.rows - row, stop - item)
        filters = min(g.part, g.outer - first)
        plane = image * g.groups + group
        _copy(x, plane * g.inner * g.height * g.width, row * g.row_step, g, slot_rows, columns, pixels)
        for p in range(0, rows * g.columns, g.block):
            count = min(g.block, rows * g.columns - p)
            filter_sums(
                weight, a_rows, group, first, filters, a_taps, pixels, p, count, b_taps, bias, g.outer, g.block,
                g.lanes, g.special == 1, sums,
            )  # fmt: skip
            for f in range(filters):
                origin = (plane * g.outer + first + f) * g.out_height * g.out_width
                _place(sums, f * g.block, count, row * g.columns + p, g, residual, activation, origin, out)
        item += rows


@device
def filter_sums(
    weight: Any, a_rows: Any, group: int, first: int, filters: int, a_taps: Any,
    pixels: Any, position: int, count: int, b_taps: Any, bias: Any, outer: int, pitch: int, lanes: int, thin: bool, sums: Any,
) -> None:  # fmt: skip
    """`sums` (filters, pitch) of `count` results from `position` on, for `filters` of a group from `first` on."""
    blocks = (count + lanes - 1) // lanes
    rows = filters if thin else (filters + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
    for f in range(rows):
        value = bias[group * outer + first + f] if bias.size > 0 and f < filters else pixels.dtype.type(0)
        start = np.uintp(f * pitch)
        for i in range(np.uintp(blocks * lanes)):
            sums[start + i] = value
    if thin:
        row = group * outer + first
        multiply_thin(weight, a_rows, row, rows, a_taps, pixels, position, blocks, b_taps, lanes, sums, pitch)
    else:
        row = group * ((outer + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS) + first
        multiply(weight, a_rows, row, rows, a_taps, pixels, position, lanes, blocks, b_taps, lanes, sums, pitch)


@device
def _copy(x: Any, origin: int, first_row: int, g: Geometry, slot_rows: Any, columns: Any, pixels: Any) -> None:
    """Pixels (channel, column of the kernel, slot, column of results), 0 outside the image."""
    step = np.uintp(g.column_step)
    for v in range(columns.size):
        offset = columns[v]
        low = min(max(0, (g.column_step - 1 - offset) // g.column_step), g.columns)
        high = max(min(g.columns, (g.width - 1 - offset) // g.column_step + 1), low)
        inside = np.uintp(high - low)
        for channel in range(g.inner):
            plane = (channel * columns.size + v) * g.plane
            for s in range(slot_rows.size):
                row = first_row + slot_rows[s]
                start, end = plane + s * g.columns, plane + (s + 1) * g.columns
                if row < 0 or row >= g.height or low == high:
                    zero(pixels, start, end)
                    continue
                zero(pixels, start, start + low)
                zero(pixels, start + high, end)
                target = np.uintp(start + low)
                source = np.uintp(origin + (channel * g.height + row) * g.width + low * g.column_step + offset)
                if g.column_step == 1:
                    for j in range(inside):
                        pixels[target + j] = x[source + j]
                else:
                    for j in range(inside):
                        pixels[target + j] = x[source + j * step]
            zero(pixels, plane + slot_rows.size * g.columns, plane + g.plane)


@device
def zero(array: Any, start: int, stop: int) -> None:
    for i in range(np.uintp(start), np.uintp(stop)):
        array[i] = 0


@device
def _place(
    sums: Any, start: int, count: int, position: int, g: Geometry, residual: Any,
    activation: tuple[int, float, float], origin: int, out: Any,
) -> None:  # fmt: skip
    """Finish the sums of neighbouring results of one filter, row by row where rows are apart in memory."""
    done = 0
    while done < count:
        row, column = (position + done) // g.run, (position + done) % g.run
        length = min(g.run - column, count - done)
        at = origin + (g.out_row + row * g.out_row_step) * g.out_width + g.out_column + column * g.out_column_step
        finish(sums, start + done, length, residual, activation, out, at, g.out_column_step)
        done += length
