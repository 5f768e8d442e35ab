"""Convolution of channels-first images: contiguous pixels, multiplied by six filters at a time.

An item is one row of results of a group of an image, and a part of its filters. Items that follow each other
are done as a band: its pixels are copied with padding, so that those that a tap meets are contiguous over all
rows of results. Called by `conv.py`; `deform.py` shares the sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba.compile import device, kernel, unsigned
from fastconv.backends.numba.epilogue import Code, finish
from fastconv.backends.numba.gemm import TILE_ROWS, multiply, sum_taps
from fastconv.backends.numba.geometry import Geometry, Runs
from fastconv.backends.numba.lines import clear, copy, inside
from fastconv.typing import Array


@kernel
def conv_nchw(
    start: int, stop: int, x: Array, weight: Array, bias: Array, residual: Array, activation: Code | None, out: Array,
    g: Geometry, slot_rows: Array, columns: Runs, a_rows: Array, a_taps: Array, b_taps: Array,
) -> None:  # fmt: skip
    # Tiles read, but do not use, a little beyond the last pixel of a plane.
    pixels = np.empty(g.inner * g.planes * g.plane + g.lanes, x.dtype)
    clear(pixels, 0, pixels.size)
    sums = np.empty(g.part * g.block, x.dtype)
    item = start
    while item < stop:
        row, rest = item % g.rows, item // g.rows
        group, rest = rest % g.groups, rest // g.groups
        image, first = rest % g.batch, rest // g.batch * g.part
        rows = min(g.band, g.rows - row, stop - item)
        filters = min(g.part, g.outer - first)
        plane = image * g.groups + group
        copy_planes(x, plane * g.inner * g.height * g.width, row * g.row_step, g, slot_rows, columns, pixels)
        length = (rows - 1) * g.pitch + g.columns
        for p in range(0, length, g.block):
            count = min(g.block, length - p)
            filter_sums(
                weight, a_rows, group, first, filters, a_taps, pixels, p, count, b_taps,
                bias, g.outer, g.lanes, 0, sums, g.block,
            )  # fmt: skip
            for f in range(filters):
                origin = (plane * g.outer + first + f) * g.out_height * g.out_width
                _place(sums, f * g.block, count, row, p, g, residual, activation, origin, out)
        item += rows


@kernel
def conv_thin(
    start: int, stop: int, x: Array, weight: Array, bias: Array, residual: Array, activation: Code | None, out: Array,
    g: Geometry, slot_rows: Array, columns: Runs, _rows: Array, _taps: Array, taps: Array,
) -> None:  # fmt: skip
    """For groups of one or two filters: rows of results go to where they belong straight from registers."""
    pixels = np.empty(g.inner * g.planes * g.plane + g.lanes, x.dtype)
    clear(pixels, 0, pixels.size)
    apart = g.out_column_step != 1
    sums = np.empty(g.columns if apart else 0, x.dtype)
    item = start
    while item < stop:
        row, rest = item % g.rows, item // g.rows
        group, rest = rest % g.groups, rest // g.groups
        image, first = rest % g.batch, rest // g.batch * g.part
        rows = min(g.band, g.rows - row, stop - item)
        plane = image * g.groups + group
        copy_planes(x, plane * g.inner * g.height * g.width, row * g.row_step, g, slot_rows, columns, pixels)
        lines, length = (1, rows * g.columns) if g.joined == 1 else (rows, g.columns)
        for f in range(first, min(first + g.part, g.outer)):
            channel = group * g.outer + f
            value = bias[channel] if bias.size > 0 else x.dtype.type(0)
            at = ((plane * g.outer + f) * g.out_height + g.out_row + row * g.out_row_step) * g.out_width
            at += g.out_column
            for line in range(lines):
                target, to = (sums, 0) if apart else (out, at)
                sum_taps(weight, channel * taps.size, pixels, line * g.pitch, taps, value, length, target, to)
                if apart or residual.size > 0 or activation is not None:
                    finish(target, to, length, residual, activation, out, at, g.out_column_step)
                at += g.out_row_step * g.out_width
        item += rows


@device
def filter_sums(
    weight: Array, a_rows: Array, group: int, first: int, filters: int, a_taps: Array,
    pixels: Array, position: int, count: int, b_taps: Array,
    bias: Array, outer: int, lanes: int, thin: int, sums: Array, pitch: int,
) -> None:  # fmt: skip
    """Sums (filter, result) of `count` results from `position`, for `filters` of a group from `first` on.

    `thin` is 1 where the weights are packed for groups of one or two filters.
    """
    if thin == 1:
        for f in range(filters):
            channel = group * outer + first + f
            value = bias[channel] if bias.size > 0 else pixels.dtype.type(0)
            place = channel * b_taps.size
            sum_taps(weight, place, pixels, position, b_taps, value, count, sums, f * pitch)
        return
    blocks, rows = (count + lanes - 1) // lanes, (filters + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
    for f in range(rows):
        value = bias[group * outer + first + f] if bias.size > 0 and f < filters else pixels.dtype.type(0)
        for i in range(unsigned(f * pitch), unsigned(f * pitch + blocks * lanes)):
            sums[i] = value
    row = group * ((outer + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS) + first
    multiply(
        weight, a_rows, row, rows, a_taps, pixels, position, lanes, blocks, b_taps, lanes, sums, pitch
    )  # fmt: skip


@device
def copy_planes(
    x: Array, origin: int, first_row: int, g: Any, slot_rows: Array, columns: Runs, pixels: Array
) -> None:
    """Pixels (channel, copy of it, row, column), 0 outside the image: what is left and right of it is so already."""
    for v in range(columns.pixel.size):
        first, length = columns.pixel[v], columns.length[v]
        low, high = inside(first, g.column_step, g.width, length)
        for channel in range(g.inner):
            for s in range(slot_rows.size):
                row = first_row + slot_rows[s]
                to = channel * g.planes * g.plane + s * g.pitch + columns.place[v]
                if row < 0 or row >= g.height or low == high:
                    clear(pixels, to, to + length)
                    continue
                line = origin + (channel * g.height + row) * g.width
                copy(x, line + low * g.column_step + first, g.column_step, high - low, pixels, to + low)


@device
def _place(
    sums: Array, start: int, count: int, row: int, position: int, g: Geometry, residual: Array, activation: Code | None,
    origin: int, out: Array,
) -> None:  # fmt: skip
    """Finish the sums of a filter from `position` on, counted from `row`; those beyond a row's end are not used."""
    done = 0
    while done < count:
        down, column = (position + done) // g.pitch, (position + done) % g.pitch
        room, step = (count, count) if g.joined == 1 else (g.columns - column, g.pitch - column)
        if room > 0:
            line = (g.out_row + (row + down) * g.out_row_step) * g.out_width
            at = origin + line + g.out_column + column * g.out_column_step
            length = min(room, count - done)
            finish(sums, start + done, length, residual, activation, out, at, g.out_column_step)
        done += step
