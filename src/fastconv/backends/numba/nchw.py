"""Convolution of channels-first images: contiguous pixels, multiplied by six filters at a time.

An item is one row of results of a group of an image, and a part of its filters. Items that follow each other
are done as a band: its pixels are copied with padding, once for every column of the kernel, so that the
pixels that a tap meets are contiguous over the whole band. Called by `conv.py`; `deform.py` shares the sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba.compile import device, kernel, unsigned
from fastconv.backends.numba.epilogue import Code, finish
from fastconv.backends.numba.gemm import TILE_ROWS, multiply, multiply_thin
from fastconv.backends.numba.geometry import Geometry
from fastconv.backends.numba.lines import clear, copy, inside


@kernel
def conv_nchw(
    start: int, stop: int, x: Any, weight: Any, bias: Any, residual: Any, activation: Code, out: Any,
    g: Geometry, slot_rows: Any, columns: Any, a_rows: Any, a_taps: Any, b_taps: Any,
) -> None:  # fmt: skip
    copied = g.inner * columns.size * g.plane
    # Tiles read, but do not use, a little beyond the last pixel.
    pixels = np.empty(copied + g.lanes, x.dtype)
    clear(pixels, copied, copied + g.lanes)
    sums = np.empty(g.part * g.block, x.dtype)
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
                weight, a_rows, group, first, filters, a_taps, pixels, p, count, b_taps,
                bias, g.outer, g.lanes, g.special, sums, g.block,
            )  # fmt: skip
            for f in range(filters):
                origin = (plane * g.outer + first + f) * g.out_height * g.out_width
                _place(sums, f * g.block, count, row * g.columns + p, g, residual, activation, origin, out)
        item += rows


@device
def filter_sums(
    weight: Any, a_rows: Any, group: int, first: int, filters: int, a_taps: Any,
    pixels: Any, position: int, count: int, b_taps: Any,
    bias: Any, outer: int, lanes: int, thin: int, sums: Any, pitch: int,
) -> None:  # fmt: skip
    """Sums (filter, result) of `count` results from `position`, for `filters` of a group from `first` on."""
    blocks = (count + lanes - 1) // lanes
    rows = filters if thin == 1 else (filters + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
    for f in range(rows):
        value = bias[group * outer + first + f] if bias.size > 0 and f < filters else pixels.dtype.type(0)
        for i in range(unsigned(f * pitch), unsigned(f * pitch + blocks * lanes)):
            sums[i] = value
    if thin == 1:
        row = group * outer + first
        multiply_thin(weight, a_rows, row, rows, a_taps, pixels, position, blocks, b_taps, lanes, sums, pitch)
    else:
        row = group * ((outer + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS) + first
        multiply(
            weight, a_rows, row, rows, a_taps, pixels, position, lanes, blocks, b_taps, lanes, sums, pitch
        )  # fmt: skip


@device
def _copy(
    x: Any, origin: int, first_row: int, g: Geometry, slot_rows: Any, columns: Any, pixels: Any
) -> None:
    """Pixels (channel, column of the kernel, slot, column of results), 0 outside the image."""
    for v in range(columns.size):
        low, high = inside(columns[v], g.column_step, g.width, g.columns)
        for channel in range(g.inner):
            plane = (channel * columns.size + v) * g.plane
            for s in range(slot_rows.size):
                row, to = first_row + slot_rows[s], plane + s * g.columns
                if row < 0 or row >= g.height or low == high:
                    clear(pixels, to, to + g.columns)
                    continue
                line = origin + (channel * g.height + row) * g.width
                clear(pixels, to, to + low)
                clear(pixels, to + high, to + g.columns)
                start = line + low * g.column_step + columns[v]
                copy(x, start, g.column_step, high - low, pixels, to + low)
            clear(pixels, plane + slot_rows.size * g.columns, plane + g.plane)


@device
def _place(
    sums: Any, start: int, count: int, position: int, g: Geometry, residual: Any, activation: Code,
    origin: int, out: Any,
) -> None:  # fmt: skip
    """Finish the sums of neighbouring results of a filter, row by row where rows are apart in memory."""
    done = 0
    while done < count:
        row, column = (position + done) // g.run, (position + done) % g.run
        length = min(g.run - column, count - done)
        line = (g.out_row + row * g.out_row_step) * g.out_width
        at = origin + line + g.out_column + column * g.out_column_step
        finish(sums, start + done, length, residual, activation, out, at, g.out_column_step)
        done += length
