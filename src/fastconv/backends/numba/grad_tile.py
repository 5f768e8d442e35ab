"""Gradient of a convolution's weights by register tiles of channels and taps x filters, in both layouts.

An item is a chunk of the pixels and a part of the filters. The pixels of x that a segment needs are copied as
in the forward pass; `grad_output` is packed for a block of pixels and the lanes of a tile at a time. Called by
`grad_weight.py`.
"""

from __future__ import annotations

import numpy as np

from fastconv.backends.numba.compile import device, kernel, unsigned
from fastconv.backends.numba.gemm import TILE_ROWS, TILE_VECTORS
from fastconv.backends.numba.geometry import Runs
from fastconv.backends.numba.grad_plan import BLOCK, Reduction
from fastconv.backends.numba.lines import clear, copy
from fastconv.backends.numba.nchw import copy_planes
from fastconv.backends.numba.nhwc import copy_pixels
from fastconv.backends.numba.simd import make_tile
from fastconv.backends.numba.totals import settle_every, take_all
from fastconv.typing import Array

sum_tile = make_tile(TILE_ROWS, TILE_VECTORS, broadcast=True, in_parts=True)


@kernel
def tile_sums(
    start: int, stop: int, x: Array, grad: Array, sums: Array, g: Reduction, slot_rows: Array, columns: Runs,
    a_rows: Array, planar: int | None,
) -> None:  # fmt: skip
    """`planar` is None for channels last: numba leaves out what is for the other layout."""
    most = g.together * g.band * g.columns
    pixels = np.empty(g.together * g.copied, x.dtype)
    clear(pixels, 0, pixels.size)
    panel = np.empty(BLOCK * g.lanes, x.dtype)
    clear(panel, 0, panel.size)
    a_taps, b_taps, places = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    for p in range(most):
        b_taps[p] = p % BLOCK * g.lanes
    size, own = a_rows.size * g.lanes, g.panels // g.groups
    room = size * min(own, (g.panels + g.parts - 1) // g.parts)
    totals, rests = np.empty(room, sums.dtype), np.empty(room, sums.dtype)
    for item in range(start, stop):
        chunk, part = item // g.parts, item % g.parts
        first, last = part * g.panels // g.parts, (part + 1) * g.panels // g.parts
        for group in range(first // own, (last - 1) // own + 1):
            low, high = max(first, group * own), min(last, (group + 1) * own)
            group_sums = sums[(chunk * g.panels + low) * size : (chunk * g.panels + high) * size]
            clear(group_sums, 0, group_sums.size)
            terms = 0
            unit, end = g.first + chunk * g.units // g.chunks, g.first + (chunk + 1) * g.units // g.chunks
            while unit < end:
                count, found = min(g.together, end - unit), 0
                for segment in range(count):
                    copied = pixels[segment * g.copied :]
                    found = _segment(
                        x, unit + segment, group, segment * g.copied, g, slot_rows, columns, copied,
                        a_taps, places, found, planar,
                    )  # fmt: skip
                for p in range(0, found, BLOCK):
                    to = min(p + BLOCK, found)
                    settle_every(terms, group_sums, group_sums.size, totals, rests)
                    terms += 1
                    for index in range(low, high):
                        _pack(grad, places, p, to, group, (index - group * own) * g.lanes, g, panel, planar)
                        for r in range(0, a_rows.size, TILE_ROWS):
                            at = (index - low) * size + r * g.lanes
                            sum_tile(
                                pixels, a_rows, r, a_taps, panel, 0, b_taps, p, to, group_sums, at, g.lanes
                            )
                unit += count
            take_all(terms, group_sums, group_sums.size, totals, rests)


@device
def _segment(
    x: Array, unit: int, group: int, offset: int, g: Reduction, slot_rows: Array, columns: Runs, pixels: Array,
    a_taps: Array, places: Array, found: int, planar: int | None,
) -> int:  # fmt: skip
    """Copy what a group reads for a segment; where its pixels are in the copies, and in `grad_output`."""
    image, row = unit // g.segments, unit % g.segments * g.band
    if planar is None:
        copy_pixels(x, image, row * g.row_step, group * g.inner, g, slot_rows, columns, pixels)
        step, results = g.inner, g.groups * g.outer
        start = image * g.rows * g.columns * results
    else:
        plane = (image * g.groups + group) * g.inner
        copy_planes(x, plane * g.height * g.width, row * g.row_step, g, slot_rows, columns, pixels)
        step, results = 1, 1
        start = image * g.groups * g.outer * g.rows * g.columns
    for i in range(min(g.band, g.rows - row)):
        for j in range(g.columns):
            a_taps[found] = offset + (i * g.pitch + j) * step
            places[found] = start + ((row + i) * g.columns + j) * results
            found += 1
    return found


@device
def _pack(
    grad: Array, places: Array, first: int, last: int, group: int, channel: int, g: Reduction, panel: Array,
    planar: int | None,
) -> None:  # fmt: skip
    """`grad_output` as (pixel, lane), from a channel of a group on; lanes beyond the group's last are not used."""
    count, channel = min(g.lanes, g.outer - channel), group * g.outer + channel
    if planar is None:
        for p in range(first, last):
            copy(grad, places[p] + channel, 1, count, panel, (p - first) * g.lanes)
        return
    plane, lanes = g.rows * g.columns, unsigned(g.lanes)
    for lane in range(count):
        origin, to = unsigned((channel + lane) * plane), unsigned(lane)
        for p in range(unsigned(first), unsigned(last)):
            panel[to] = grad[origin + unsigned(places[p])]
            to += lanes
