"""Convolution of channels-last images: six pixels at a time, multiplied by contiguous rows of filters.

An item is one row of results of an image (and a part of the filters). Items that follow each other are done as a
band, whose pixels are copied with padding and in the order in which a tap meets them. Called by `conv.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba.compile import device, kernel
from fastconv.backends.numba.epilogue import finish
from fastconv.backends.numba.gemm import CHANNEL_ROWS, TILE_ROWS, multiply, multiply_channels
from fastconv.backends.numba.geometry import Geometry


@kernel
def conv_nhwc(
    start: int, stop: int, x: Any, weight: Any, bias: Any, residual: Any, activation: tuple[int, float, float], out: Any,
    g: Geometry, slot_rows: Any, columns: Any, expansion: Any, a_taps: Any, b_taps: Any,
) -> None:  # fmt: skip
    channels = g.groups * g.inner
    results = g.groups * g.outer
    pixels = np.empty(slot_rows.size * columns.size * g.plane, x.dtype)
    sums = np.empty(g.block * g.part, x.dtype)
    a_rows = np.empty(g.block, np.int64)
    item = start
    while item < stop:
        row, rest = item % g.rows, item // g.rows
        image, first = rest % g.batch, rest // g.batch * g.part
        rows = min(g.band, g.rows - row, stop - item)
        _copy(x, image * g.height * g.width, row * g.row_step, channels, g, slot_rows, columns, expansion, pixels)
        for p in range(0, rows * g.columns, g.block):
            count = min(g.block, rows * g.columns - p)
            # The groups of the "channels" method are lanes of one product.
            for group in range(1 if g.special == 1 else g.groups):
                filters = results if g.special == 1 else min(g.part, g.outer - first)
                _pixel_sums(weight, group, first, filters, a_taps, pixels, p, count, columns.size, b_taps, bias, g, a_rows, sums)
                _place(sums, filters, row * g.columns + p, count, g, residual, activation, image, group * g.outer + first, out)
        item += rows


@device
def _pixel_sums(
    weight: Any, group: int, first: int, filters: int, a_taps: Any,
    pixels: Any, position: int, count: int, pitch: int, b_taps: Any, bias: Any, g: Geometry, a_rows: Any, sums: Any,
) -> None:  # fmt: skip
    """`sums` (count, g.part) of the results from `position` on, for `filters` of a group from `first` on."""
    tile = CHANNEL_ROWS if g.special == 1 else TILE_ROWS
    rows = (count + tile - 1) // tile * tile
    for r in range(rows):
        # Rows that only fill the last tile repeat its last pixel.
        q = position + min(r, count - 1)
        a_rows[r] = (q // g.columns * pitch + q % g.columns) * g.plane + (0 if g.special == 1 else group * g.inner)
        start, origin, given = np.uintp(r * g.part), np.uintp(group * g.outer + first), np.uintp(bias.size > 0) * np.uintp(filters)
        for i in range(given):
            sums[start + i] = bias[origin + i]
        for i in range(given, np.uintp(g.part)):
            sums[start + i] = 0
    if g.special == 1:
        multiply_channels(pixels, a_rows, rows, a_taps, weight, b_taps, g.lanes, sums, g.part)
    else:
        panel = g.lanes * a_taps.size
        column = (group * ((g.outer + g.lanes - 1) // g.lanes) + first // g.lanes) * panel
        blocks = (filters + g.lanes - 1) // g.lanes
        multiply(pixels, a_rows, 0, rows, a_taps, weight, column, panel, blocks, b_taps, g.lanes, sums, g.part)


@device
def _place(
    sums: Any, filters: int, position: int, count: int, g: Geometry, residual: Any,
    activation: tuple[int, float, float], image: int, first: int, out: Any,
) -> None:  # fmt: skip
    """Finish the sums of `count` pixels from `position` on, together those that are neighbours in memory."""
    results = g.groups * g.outer
    together = filters == results and g.part == results and g.out_column_step == 1
    done = 0
    while done < count:
        row, column = (position + done) // g.columns, (position + done) % g.columns
        length = min(g.columns - column, count - done) if together else 1
        line = image * g.out_height + g.out_row + row * g.out_row_step
        at = (line * g.out_width + g.out_column + column * g.out_column_step) * results + first
        finish(sums, done * g.part, length * filters, residual, activation, out, at, 1)
        done += length


@device
def _copy(
    x: Any, origin: int, first_row: int, channels: int, g: Geometry, slot_rows: Any, columns: Any, expansion: Any, pixels: Any
) -> None:
    """Pixels (slot, copied column, channel), 0 outside the image; channels repeated where `expansion` says so."""
    length = np.uintp(g.plane)
    for s in range(slot_rows.size):
        row = first_row + slot_rows[s]
        for v in range(columns.size):
            column = columns[v]
            target = np.uintp((s * columns.size + v) * g.plane)
            if row < 0 or row >= g.height or column < 0 or column >= g.width:
                for c in range(length):
                    pixels[target + c] = 0
                continue
            source = np.uintp((origin + row * g.width + column) * channels)
            if expansion.size == 0:
                for c in range(length):
                    pixels[target + c] = x[source + c]
            else:
                for c in range(length):
                    channel = expansion[c]
                    pixels[target + c] = x[source + np.uintp(channel)] if channel >= 0 else 0
