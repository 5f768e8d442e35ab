"""Gradients of deformable convolution; called by the backend.

That of the weights samples pixels as the forward pass does, and multiplies them with `grad_output` in the tiles of
`grad_tile.py`. For the others, `grad_output` is multiplied with the weights, which gives the gradient of every
sampled pixel: it goes to the four pixels around, and to the place from which they were taken.
"""

from __future__ import annotations

import math

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import device, kernel, optional, read, table, unsigned, write
from fastconv.backends.numba.deform import DeformShape, block_size, make_shape, sample
from fastconv.backends.numba.gemm import TILE_ROWS, TILE_VECTORS
from fastconv.backends.numba.grad_plan import BLOCK, chunk_count, filled_rows, lane_table, weight_index
from fastconv.backends.numba.grad_tile import sum_tile
from fastconv.backends.numba.grad_weight import place_sums, sum_units
from fastconv.backends.numba.lines import clear, copy, count_up
from fastconv.backends.numba.simd import lanes
from fastconv.backends.numba.totals import add_part, settle_every, take_all
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array

# Parts of the channels are shared among threads where images and fields are fewer than this.
_ITEMS = 16
# What one of them may take, in nanoseconds: more is done in passes, for signals to be handled between them.
_LONG = 10_000_000


def deform_conv_gradient(
    problem: ConvProblem,
    x: Array,
    offset: Array,
    mask: Array | None,
    weight: Array,
    grad_output: Array,
    grad_x: Array,
    grad_offset: Array,
    grad_weight: Array,
    grad_mask: Array | None,
) -> None:
    wide = TILE_VECTORS * lanes(problem.dtype)
    block = min(block_size(problem, wide), BLOCK)
    taps, results = problem.kernel[0] * problem.kernel[1], problem.out_size[0] * problem.out_size[1]
    shape = make_shape(problem, offset.shape[1] // (2 * taps), block, wide)
    operands = read(x), read(offset), optional(mask, x.dtype), read(grad_output)
    _weights(problem, shape, operands, grad_weight)
    fields = shape.fields
    parts = min(problem.channels // fields, math.ceil(_ITEMS / (problem.batch * fields)))
    items, blocks = problem.batch * fields * parts, -(-results // block)
    inner = problem.channels // problem.groups
    rests = np.zeros_like(grad_x)
    grad_x.fill(0)
    tables = (
        table(np.pad(np.arange(inner * taps), (0, TILE_ROWS))),
        table(np.arange(problem.filters) * (inner * taps)), table(np.arange(problem.filters) * block),
    )  # fmt: skip
    work = problem.flops / 80 + 25 * problem.batch * problem.channels * taps * results
    passes = max(1, min(blocks, math.ceil(work / items / _LONG)))
    for number in range(passes):
        first, last = (min(blocks * n // passes * block, results) for n in (number, number + 1))
        slopes = np.empty((problem.batch, parts, fields * taps, 3, last - first), x.dtype)
        parallel.run(
            _spread, items, work / passes, *operands, read(weight), write(grad_x), write(rests), write(slopes),
            shape, parts, first, last, *tables,
        )  # fmt: skip
        total = slopes.sum(axis=1)
        places = (problem.batch, fields * taps, -1, results)
        grad_offset.reshape(places)[..., first:last] = total[:, :, :2]
        if grad_mask is not None:
            grad_mask.reshape(places)[..., first:last] = total[:, :, 2:]
    grad_x += rests


def _weights(problem: ConvProblem, s: DeformShape, operands: tuple[Array, ...], out: Array) -> None:
    index = weight_index(problem)
    rows, lane_at = index.shape[2] * index.shape[3], lane_table(index[:, :, 0, 0], s.lanes)
    a_rows = filled_rows(np.arange(rows) * s.block, TILE_ROWS)
    units = problem.batch * -(-s.rows * s.columns // s.block)
    chunks = chunk_count(units, a_rows.size * lane_at.size * problem.dtype.itemsize)
    sums = np.empty(chunks * lane_at.size * a_rows.size, problem.dtype)

    def one_pass(first: int, units: int, work: float) -> None:
        parallel.run(_weight_sums, chunks, work, *operands, sums, s, first, units, chunks, a_rows)

    work = problem.flops / 80 + 5 * units * s.block * problem.channels * s.kernel_h * s.kernel_w
    sum_units(units, chunks, work, sums, one_pass)
    place_sums(sums, lane_at, rows, a_rows.size, s.lanes, chunks, 1, out)


@kernel
def _weight_sums(
    start: int, stop: int, x: Array, offset: Array, mask: Array, grad: Array, sums: Array, s: DeformShape,
    first_unit: int, units: int, chunks: int, a_rows: Array,
) -> None:  # fmt: skip
    """An item is a chunk of the blocks of results of all images."""
    results, taps = s.rows * s.columns, s.kernel_h * s.kernel_w
    blocks, panels = (results + s.block - 1) // s.block, (s.outer + s.lanes - 1) // s.lanes
    sampled = np.empty(s.channels * taps * s.block, x.dtype)
    corners, shares = np.empty(4 * s.block, np.int64), np.empty(4 * s.block, x.dtype)
    panel = np.empty(s.block * s.lanes, x.dtype)
    clear(sampled, 0, sampled.size)
    clear(panel, 0, panel.size)
    a_taps, b_taps = np.empty(s.block, np.int64), np.empty(s.block, np.int64)
    count_up(a_taps, 1)
    count_up(b_taps, s.lanes)
    size = a_rows.size * s.lanes
    room = s.groups * panels * size
    totals, rests = np.empty(room, x.dtype), np.empty(room, x.dtype)
    for chunk in range(start, stop):
        own = sums[chunk * room : (chunk + 1) * room]
        clear(own, 0, room)
        low, high = first_unit + chunk * units // chunks, first_unit + (chunk + 1) * units // chunks
        for unit in range(low, high):
            settle_every(unit - low, own, room, totals, rests)
            image, first = unit // blocks, unit % blocks * s.block
            count = min(s.block, results - first)
            sample(x, offset, mask, image, first, count, s, corners, shares, sampled)
            for group in range(s.groups):
                pixels = sampled[group * (s.channels // s.groups) * taps * s.block :]
                for number in range(panels):
                    f = number * s.lanes
                    for lane in range(min(s.lanes, s.outer - f)):
                        line = ((image * s.groups + group) * s.outer + f + lane) * results + first
                        for i in range(count):
                            panel[i * s.lanes + lane] = grad[line + i]
                    at = (group * panels + number) * size
                    for r in range(0, a_rows.size, TILE_ROWS):
                        sum_tile(
                            pixels, a_rows, r, a_taps, panel, 0, b_taps, 0, count, own, at + r * s.lanes, s.lanes
                        )  # fmt: skip
        take_all(high - low, own, room, totals, rests)


@kernel
def _spread(
    start: int, stop: int, x: Array, offset: Array, mask: Array, grad: Array, weight: Array, grad_x: Array,
    lost: Array, slopes: Array, s: DeformShape, parts: int, begin: int, end: int, a_rows: Array, a_taps: Array,
    b_taps: Array,
) -> None:  # fmt: skip
    """An item is a part of the channels of a field of an image, for the results from `begin` to `end`.

    `slopes` are (image, part, tap, 3, result of those). `lost` takes what rounding takes from `grad_x`.
    """
    results, taps, pixels = s.rows * s.columns, s.kernel_h * s.kernel_w, s.height * s.width
    shared, inner, filters = s.channels // s.fields, s.channels // s.groups, a_taps.size
    lines = np.zeros(filters * s.block, x.dtype)
    sampled = np.empty((shared * taps + TILE_ROWS) * s.block, x.dtype)
    corners, factors = np.empty(4 * s.block, np.int64), np.empty(12 * s.block, x.dtype)
    gains = np.empty(3 * s.block, x.dtype)
    totals, rests = np.empty(gains.size, x.dtype), np.empty(gains.size, x.dtype)
    for item in range(start, stop):
        image, field, part = item // (s.fields * parts), item // parts % s.fields, item % parts
        low = field * shared + part * shared // parts
        high = field * shared + (part + 1) * shared // parts
        for first in range(begin, end, s.block):
            count = min(s.block, end - first)
            for f in range(filters):
                copy(grad, (image * filters + f) * results + first, 1, count, lines, f * s.block)
            for group in range(low // inner, (high - 1) // inner + 1):
                own, beyond = max(low, group * inner), min(high, (group + 1) * inner)
                row, rows = (own - group * inner) * taps, (beyond - own) * taps
                rows = (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
                to = (own - low) * taps * s.block
                clear(sampled, to, to + rows * s.block)
                for column in range(0, count, s.lanes):
                    for r in range(0, rows, TILE_ROWS):
                        sum_tile(
                            weight, a_rows, row + r, a_taps, lines, column, b_taps,
                            group * s.outer, (group + 1) * s.outer, sampled, to + r * s.block + column, s.block,
                        )  # fmt: skip
            for tap in range(taps):
                line = (image * s.fields + field) * taps + tap
                _surround(offset, line, tap, first, count, s, corners, factors)
                clear(gains, 0, gains.size)
                for c in range(low, high):
                    settle_every(c - low, gains, gains.size, totals, rests)
                    plane, at = (image * s.channels + c) * pixels, ((c - low) * taps + tap) * s.block
                    _give(
                        sampled, at, x, plane, mask, line * results + first, count, corners, factors, gains,
                        grad_x, lost,
                    )  # fmt: skip
                take_all(high - low, gains, gains.size, totals, rests)
                to = (
                    (((image * parts + part) * s.fields + field) * taps + tap) * 3 * (end - begin)
                    + first
                    - begin
                )
                for k in range(3):
                    copy(gains, k * s.block, 1, count, slopes, to + k * (end - begin))


@device
def _surround(
    offset: Array, line: int, tap: int, first: int, count: int, s: DeformShape, corners: Array, factors: Array
) -> None:
    """For each of the four pixels around a place: where it is in its plane (-1: outside), its share in the
    sampled pixel, and how much that grows as the place moves down and to the right."""
    results = s.rows * s.columns
    down = tap // s.kernel_w * s.dilation_h - s.top
    across = tap % s.kernel_w * s.dilation_w - s.left
    for i in range(count):
        p = first + i
        row = offset[2 * line * results + p] + (p // s.columns * s.stride_h + down)
        column = offset[(2 * line + 1) * results + p] + (p % s.columns * s.stride_w + across)
        corners[4 * i : 4 * i + 4] = -1
        if math.isnan(row) or math.isnan(column):
            corners[4 * i] = 0
            factors[12 * i : 12 * i + 12] = math.nan
            continue
        # At -1 the sampled pixel is still 0, but grows to the right.
        if not (row >= -1 and row < s.height and column >= -1 and column < s.width):
            continue
        top, left = math.floor(row), math.floor(column)
        below, beside = row - top, column - left
        for corner in range(4):
            r, c = top + corner // 2, left + corner % 2
            if 0 <= r < s.height and 0 <= c < s.width:
                vertical = below if corner // 2 == 1 else 1 - below
                horizontal = beside if corner % 2 == 1 else 1 - beside
                corners[4 * i + corner] = r * s.width + c
                factors[12 * i + corner] = vertical * horizontal
                factors[12 * i + 4 + corner] = horizontal if corner // 2 == 1 else -horizontal
                factors[12 * i + 8 + corner] = vertical if corner % 2 == 1 else -vertical


@device
def _give(
    sampled: Array, at: int, x: Array, plane: int, mask: Array, line: int, count: int, corners: Array, factors: Array,
    gains: Array, grad_x: Array, lost: Array,
) -> None:  # fmt: skip
    """What a channel's sampled pixels give to the pixels around them, to their places and to the mask."""
    block = gains.size // 3
    for i in range(count):
        given = sampled[at + i]
        slope = given * mask[line + i] if mask.size > 0 else given
        value, down, across = x.dtype.type(0), x.dtype.type(0), x.dtype.type(0)
        for k in range(4):
            corner, share = corners[4 * i + k], factors[12 * i + k]
            if corner >= 0:
                pixel = x[plane + corner]
                # A pixel of share 0 does not count, whatever it is.
                if factors[12 * i + 4 + k] != 0:
                    down += factors[12 * i + 4 + k] * pixel
                if factors[12 * i + 8 + k] != 0:
                    across += factors[12 * i + 8 + k] * pixel
                if share != 0:
                    value += share * pixel
                    if not math.isnan(share):  # what was read at an offset of NaN is no pixel's
                        to = unsigned(plane + corner)
                        grad_x[to], lost[to] = add_part(grad_x[to], lost[to], slope * share)
        gains[i] += slope * down
        gains[block + i] += slope * across
        gains[2 * block + i] += given * value
