"""Convolution of channels-last images in many small groups: every channel has weights of its own.

The lanes of a vector are channels, and where those are few, of several pixels side by side: a "block". An
item is one row of results of an image; items are done in bands as in `nhwc.py`. Called by `conv.py`.
"""

from __future__ import annotations

import numpy as np

from fastconv.backends.numba.compile import device, kernel, unsigned
from fastconv.backends.numba.epilogue import Code, finish
from fastconv.backends.numba.gemm import CHANNEL_ROWS, multiply_channels
from fastconv.backends.numba.geometry import Geometry, Runs
from fastconv.backends.numba.lines import clear, copy, inside
from fastconv.typing import Array


@kernel
def conv_channels(
    start: int, stop: int, x: Array, weight: Array, bias: Array, residual: Array, activation: Code | None, out: Array,
    g: Geometry, slot_rows: Array, columns: Runs, expansion: Array, a_taps: Array, b_taps: Array,
) -> None:  # fmt: skip
    results, together = g.groups * g.outer, g.part // g.plane
    blocks = (g.columns + together - 1) // together
    copied = g.planes * slot_rows.size * g.pitch * g.plane
    # The last block of a row may reach beyond it.
    pixels = np.empty(copied + g.part, x.dtype)
    clear(pixels, copied, pixels.size)
    sums, first_sums = np.empty(g.block * g.part, x.dtype), np.empty(g.part, x.dtype)
    clear(first_sums, 0, g.part)
    if bias.size > 0:
        for pixel in range(together):
            copy(bias, 0, 1, results, first_sums, pixel * g.plane)
    a_rows = np.empty(g.block, np.int64)
    item = start
    while item < stop:
        row, image = item % g.rows, item // g.rows
        rows = min(g.band, g.rows - row, stop - item)
        for channel in range(g.planes):
            _copy(x, image, row * g.row_step, channel, g, slot_rows, columns, expansion, pixels)
        for p in range(0, rows * blocks, g.block):
            count = min(g.block, rows * blocks - p)
            height = (count + CHANNEL_ROWS - 1) // CHANNEL_ROWS * CHANNEL_ROWS
            for r in range(height):
                # Rows that only fill the last tile repeat its last block.
                q = p + min(r, count - 1)
                a_rows[r] = (q // blocks * g.pitch + q % blocks * together) * g.plane
                copy(first_sums, 0, 1, g.part, sums, r * g.part)
            multiply_channels(pixels, a_rows, height, a_taps, weight, b_taps, g.lanes, sums, g.part)
            done = 0
            while done < count:
                i, block = row + (p + done) // blocks, (p + done) % blocks
                length = min(blocks - block, count - done)
                column, width = block * together, length * together
                _place(sums, done * g.part, image, i, column, width, g, residual, activation, out)
                done += length
        item += rows


@device
def _copy(
    x: Array, image: int, first_row: int, channel: int, g: Geometry, slot_rows: Array, columns: Runs,
    expansion: Array, pixels: Array,
) -> None:  # fmt: skip
    """For a channel of every group: pixels (row, column, lane), 0 outside the image."""
    channels = g.groups * g.inner
    for s in range(slot_rows.size):
        row = first_row + slot_rows[s]
        for v in range(columns.pixel.size):
            to = ((channel * slot_rows.size + s) * g.pitch + columns.place[v]) * g.plane
            low, high = inside(columns.pixel[v], g.column_step, g.width, columns.length[v])
            if row < 0 or row >= g.height:
                low = high = 0
            clear(pixels, to, to + low * g.plane)
            clear(pixels, to + high * g.plane, to + columns.length[v] * g.plane)
            line = ((image * g.height + row) * g.width + columns.pixel[v]) * channels
            if expansion.size == 0 and g.column_step == 1:
                copy(x, line + low * channels, 1, (high - low) * channels, pixels, to + low * channels)
                continue
            for j in range(low, high):
                source, target = line + j * g.column_step * channels, to + j * g.plane
                if expansion.size == 0:
                    copy(x, source, 1, channels, pixels, target)
                    continue
                for lane in range(g.plane):
                    c = expansion[channel * g.plane + lane]
                    pixels[unsigned(target + lane)] = x[unsigned(source + c)] if c >= 0 else 0


@device
def _place(
    sums: Array, start: int, image: int, row: int, column: int, pixels: int, g: Geometry, residual: Array,
    activation: Code | None, out: Array,
) -> None:  # fmt: skip
    """Finish the sums of a row's pixels from `column` on, at once if they are neighbours in memory."""
    results, count = g.groups * g.outer, min(pixels, g.columns - column)
    line = (image * g.out_height + g.out_row + row * g.out_row_step) * g.out_width + g.out_column
    if g.plane == results and g.out_column_step == 1:
        finish(sums, start, count * results, residual, activation, out, (line + column) * results, 1)
        return
    for pixel in range(count):
        at = (line + (column + pixel) * g.out_column_step) * results
        finish(sums, start + pixel * g.plane, results, residual, activation, out, at, 1)
