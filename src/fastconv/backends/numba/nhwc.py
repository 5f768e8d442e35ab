"""Convolution of channels-last images: six pixels at a time, multiplied by contiguous filters.

An item is one row of results of an image, and a part of the filters. Items that follow each other are done as
a band, whose pixels are copied with padding and in the order in which a tap meets them. Called by `conv.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba.compile import device, kernel
from fastconv.backends.numba.epilogue import Code, finish
from fastconv.backends.numba.gemm import TILE_ROWS, multiply
from fastconv.backends.numba.geometry import Geometry, Runs
from fastconv.backends.numba.lines import clear, copy, inside
from fastconv.typing import Array


@kernel
def conv_nhwc(
    start: int, stop: int, x: Array, weight: Array, bias: Array, residual: Array, activation: Code | None, out: Array,
    g: Geometry, slot_rows: Array, columns: Runs, _unused: Any, a_taps: Array, b_taps: Array,
) -> None:  # fmt: skip
    pixels = np.empty(slot_rows.size * g.pitch * g.plane, x.dtype)
    sums = np.empty(g.block * g.part, x.dtype)
    a_rows = np.empty(g.block, np.int64)
    item = start
    while item < stop:
        row, rest = item % g.rows, item // g.rows
        image, first = rest % g.batch, rest // g.batch * g.part
        rows = min(g.band, g.rows - row, stop - item)
        filters = min(g.part, g.outer - first)
        copy_pixels(x, image, row * g.row_step, 0, g, slot_rows, columns, pixels)
        for p in range(0, rows * g.columns, g.block):
            count = min(g.block, rows * g.columns - p)
            for group in range(g.groups):
                _pixel_sums(
                    weight, group, first, filters, a_taps, pixels, p, count, b_taps,
                    bias, g, a_rows, sums,
                )  # fmt: skip
                position, channel = row * g.columns + p, group * g.outer + first
                _place(sums, filters, position, count, g, residual, activation, image, channel, out)
        item += rows


@device
def _pixel_sums(
    weight: Array, group: int, first: int, filters: int, a_taps: Array,
    pixels: Array, position: int, count: int, b_taps: Array,
    bias: Array, g: Geometry, a_rows: Array, sums: Array,
) -> None:  # fmt: skip
    """Sums (result, filter) of `count` results from `position`, for `filters` of a group from `first` on."""
    rows = (count + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
    for r in range(rows):
        # Rows that only fill the last tile repeat its last pixel.
        q = position + min(r, count - 1)
        a_rows[r] = (q // g.columns * g.pitch + q % g.columns) * g.plane + group * g.inner
        line, given = r * g.part, filters if bias.size > 0 else 0
        copy(bias, group * g.outer + first, 1, given, sums, line)
        clear(sums, line + given, line + g.part)
    panel = g.lanes * a_taps.size
    column = (group * ((g.outer + g.lanes - 1) // g.lanes) + first // g.lanes) * panel
    blocks = (filters + g.lanes - 1) // g.lanes
    multiply(
        pixels, a_rows, 0, rows, a_taps, weight, column, panel, blocks, b_taps, g.lanes, sums, g.part
    )  # fmt: skip


@device
def copy_pixels(
    x: Array,
    image: int,
    first_row: int,
    first: int,
    g: Any,
    slot_rows: Array,
    columns: Runs,
    pixels: Array,
) -> None:
    """Pixels (row, column, channel) of at most `g.plane` channels from `first` on, 0 outside the image."""
    channels = g.groups * g.inner
    copied = min(g.plane, channels)
    for s in range(slot_rows.size):
        row = first_row + slot_rows[s]
        for v in range(columns.pixel.size):
            to = (s * g.pitch + columns.place[v]) * g.plane
            low, high = inside(columns.pixel[v], g.column_step, g.width, columns.length[v])
            if row < 0 or row >= g.height:
                low = high = 0
            clear(pixels, to, to + low * g.plane)
            clear(pixels, to + high * g.plane, to + columns.length[v] * g.plane)
            line = ((image * g.height + row) * g.width + columns.pixel[v]) * channels + first
            if g.column_step == 1 and g.plane == channels:
                copy(x, line + low * channels, 1, (high - low) * channels, pixels, to + low * channels)
            else:
                for j in range(low, high):
                    copy(x, line + j * g.column_step * channels, 1, copied, pixels, to + j * g.plane)


@device
def _place(
    sums: Array, filters: int, position: int, count: int, g: Geometry, residual: Array, activation: Code | None,
    image: int, channel: int, out: Array,
) -> None:  # fmt: skip
    """Finish the sums of `count` pixels from `position` on, together those that are neighbours in memory."""
    results = g.groups * g.outer
    together = filters == results and g.part == results and g.out_column_step == 1
    done = 0
    while done < count:
        row, column = (position + done) // g.columns, (position + done) % g.columns
        length = min(g.columns - column, count - done) if together else 1
        line = (image * g.out_height + g.out_row + row * g.out_row_step) * g.out_width
        at = (line + g.out_column + column * g.out_column_step) * results + channel
        finish(sums, done * g.part, length * filters, residual, activation, out, at, 1)
        done += length
