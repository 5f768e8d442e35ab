"""Convolution of channels-last images: six pixels at a time, multiplied by contiguous filters.

An item is one row of results of an image, and a part of the filters. Items that follow each other are done as
a band, whose pixels are copied with padding and in the order in which a tap meets them. Called by `conv.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba.compile import device, kernel, unsigned
from fastconv.backends.numba.epilogue import Code, finish
from fastconv.backends.numba.gemm import CHANNEL_ROWS, TILE_ROWS, multiply, multiply_channels
from fastconv.backends.numba.geometry import Geometry, Runs
from fastconv.backends.numba.lines import clear, copy, inside


@kernel
def conv_nhwc(
    start: int, stop: int, x: Any, weight: Any, bias: Any, residual: Any, activation: Code, out: Any,
    g: Geometry, slot_rows: Any, columns: Runs, expansion: Any, a_taps: Any, b_taps: Any,
) -> None:  # fmt: skip
    pixels = np.empty(slot_rows.size * g.pitch * g.plane, x.dtype)
    sums = np.empty(g.block * g.part, x.dtype)
    a_rows = np.empty(g.block, np.int64)
    item = start
    while item < stop:
        row, rest = item % g.rows, item // g.rows
        image, first = rest % g.batch, rest // g.batch * g.part
        rows = min(g.band, g.rows - row, stop - item)
        _copy(x, image * g.height * g.width, row * g.row_step, g, slot_rows, columns, expansion, pixels)
        for p in range(0, rows * g.columns, g.block):
            count = min(g.block, rows * g.columns - p)
            # With the "channels" method one product does all groups.
            for group in range(1 if g.special == 1 else g.groups):
                filters = g.groups * g.outer if g.special == 1 else min(g.part, g.outer - first)
                _pixel_sums(
                    weight, group, first, filters, a_taps, pixels, p, count, b_taps,
                    bias, g, a_rows, sums,
                )  # fmt: skip
                position, channel = row * g.columns + p, group * g.outer + first
                _place(sums, filters, position, count, g, residual, activation, image, channel, out)
        item += rows


@device
def _pixel_sums(
    weight: Any, group: int, first: int, filters: int, a_taps: Any,
    pixels: Any, position: int, count: int, b_taps: Any,
    bias: Any, g: Geometry, a_rows: Any, sums: Any,
) -> None:  # fmt: skip
    """Sums (result, filter) of `count` results from `position`, for `filters` of a group from `first` on."""
    tile = CHANNEL_ROWS if g.special == 1 else TILE_ROWS
    rows = (count + tile - 1) // tile * tile
    for r in range(rows):
        # Rows that only fill the last tile repeat its last pixel.
        q = position + min(r, count - 1)
        place = (q // g.columns * g.pitch + q % g.columns) * g.plane
        a_rows[r] = place if g.special == 1 else place + group * g.inner
        line, given = r * g.part, filters if bias.size > 0 else 0
        copy(bias, group * g.outer + first, 1, given, sums, line)
        clear(sums, line + given, line + g.part)
    if g.special == 1:
        multiply_channels(pixels, a_rows, rows, a_taps, weight, b_taps, g.lanes, sums, g.part)
    else:
        panel = g.lanes * a_taps.size
        column = (group * ((g.outer + g.lanes - 1) // g.lanes) + first // g.lanes) * panel
        blocks = (filters + g.lanes - 1) // g.lanes
        multiply(
            pixels, a_rows, 0, rows, a_taps, weight, column, panel, blocks, b_taps, g.lanes, sums, g.part
        )  # fmt: skip


@device
def _copy(
    x: Any, origin: int, first_row: int, g: Geometry, slot_rows: Any, columns: Runs, expansion: Any,
    pixels: Any,
) -> None:  # fmt: skip
    """Pixels (row, column, channel), 0 outside the image; channels repeated as `expansion` says."""
    channels = g.groups * g.inner
    for s in range(slot_rows.size):
        row = first_row + slot_rows[s]
        for v in range(columns.pixel.size):
            to = (s * g.pitch + columns.place[v]) * g.plane
            low, high = inside(columns.pixel[v], g.column_step, g.width, columns.length[v])
            if row < 0 or row >= g.height:
                low = high = 0
            clear(pixels, to, to + low * g.plane)
            clear(pixels, to + high * g.plane, to + columns.length[v] * g.plane)
            line = (origin + row * g.width + columns.pixel[v]) * channels
            if expansion.size == 0 and g.column_step == 1:
                copy(x, line + low * channels, 1, (high - low) * channels, pixels, to + low * channels)
                continue
            for j in range(low, high):
                source, target = line + j * g.column_step * channels, to + j * g.plane
                if expansion.size == 0:
                    copy(x, source, 1, channels, pixels, target)
                    continue
                for c in range(expansion.size):
                    value = x[unsigned(source + expansion[c])] if expansion[c] >= 0 else 0
                    pixels[unsigned(target + c)] = value


@device
def _place(
    sums: Any, filters: int, position: int, count: int, g: Geometry, residual: Any, activation: Code,
    image: int, channel: int, out: Any,
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
