"""Deformable convolution: samples pixels between pixels, multiplies as `nchw.py`; called by the backend."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import device, kernel, optional, read, table, write
from fastconv.backends.numba.gemm import THIN_VECTORS, TILE_ROWS, TILE_VECTORS
from fastconv.backends.numba.geometry import nanoseconds
from fastconv.backends.numba.lines import clear, copy
from fastconv.backends.numba.nchw import filter_sums
from fastconv.backends.numba.simd import lanes
from fastconv.backends.numba.weights import channel_counts, method, pack, panel_width, panels
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array

# Bytes of the sampled pixels of a block of results.
_SAMPLE_BYTES = 256 * 1024


class DeformShape(NamedTuple):
    """Plain numbers of a problem."""

    channels: int
    height: int
    width: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    top: int
    left: int
    rows: int  # of results
    columns: int
    groups: int
    outer: int  # filters of a group
    fields: int  # groups of channels that share offsets
    block: int  # results at a time
    lanes: int
    thin: int


def block_size(problem: ConvProblem, wide: int) -> int:
    """Results at a time, a multiple of `wide`, so that the pixels sampled for them stay in cache."""
    sampled = problem.channels * problem.kernel[0] * problem.kernel[1] * problem.dtype.itemsize
    blocks = max(1, _SAMPLE_BYTES // (sampled * wide))
    return min(blocks, -(-problem.out_size[0] * problem.out_size[1] // wide)) * wide


def make_shape(problem: ConvProblem, fields: int, block: int, wide: int, thin: bool = False) -> DeformShape:
    return DeformShape(
        problem.channels, *problem.size, *problem.kernel, *problem.stride, *problem.dilation,
        problem.padding[0], problem.padding[2], *problem.out_size,
        problem.groups, problem.filters // problem.groups, fields, block, wide, int(thin),
    )  # fmt: skip


def deform_conv(
    problem: ConvProblem,
    x: Array,
    offset: Array,
    mask: Array | None,
    weight: Array,
    bias: Array | None,
    out: Array,
) -> None:
    (weights,) = pack(problem, weight)
    inner, _ = channel_counts(problem)
    thin, width = method(problem) == "thin", panel_width(problem)
    wide = lanes(problem.dtype) * (THIN_VECTORS if thin else TILE_VECTORS)
    places = problem.kernel[0] * problem.kernel[1]
    results = problem.out_size[0] * problem.out_size[1]
    block = block_size(problem, wide)
    shape = make_shape(problem, offset.shape[1] // (2 * places), block, wide, thin)
    filters, taps = np.arange(problem.groups * panels(problem) * width), np.arange(inner * places)
    sampled = 5 * problem.batch * results * problem.channels * places
    parallel.run(
        _deform, problem.batch * -(-results // block), sampled + nanoseconds(problem),
        read(x), read(offset), optional(mask, x.dtype), weights, optional(bias, x.dtype), write(out), shape,
        table(filters // width * width * taps.size + filters % width),
        table(taps * width), table(taps * block),
    )  # fmt: skip


@kernel
def _deform(
    start: int, stop: int, x: Array, offset: Array, mask: Array, weight: Array, bias: Array, out: Array, s: DeformShape,
    a_rows: Array, a_taps: Array, b_taps: Array,
) -> None:  # fmt: skip
    """An item is a block of results of an image."""
    results, taps = s.rows * s.columns, s.kernel_h * s.kernel_w
    blocks = (results + s.block - 1) // s.block
    sampled = np.empty(s.channels * taps * s.block, x.dtype)
    clear(sampled, 0, sampled.size)
    sums = np.empty((s.outer + TILE_ROWS) * s.block, x.dtype)
    corners, shares = np.empty(4 * s.block, np.int64), np.empty(4 * s.block, x.dtype)
    for item in range(start, stop):
        image, first = item // blocks, item % blocks * s.block
        count = min(s.block, results - first)
        sample(x, offset, mask, image, first, count, s, corners, shares, sampled)
        for group in range(s.groups):
            position = group * a_taps.size * s.block
            filter_sums(
                weight, a_rows, group, 0, s.outer, a_taps, sampled, position, count, b_taps,
                bias, s.outer, s.lanes, s.thin, sums, s.block,
            )  # fmt: skip
            for f in range(s.outer):
                to = ((image * s.groups + group) * s.outer + f) * results + first
                copy(sums, f * s.block, 1, count, out, to)


@device
def sample(
    x: Array, offset: Array, mask: Array, image: int, first: int, count: int, s: DeformShape,
    corners: Array, shares: Array, sampled: Array,
) -> None:  # fmt: skip
    """Pixels (channel, tap, result) of `count` results, bilinear between pixels and 0 outside the image."""
    results, taps, shared = s.rows * s.columns, s.kernel_h * s.kernel_w, s.channels // s.fields
    for line in range(s.fields * taps):
        field, tap = line // taps, line % taps
        down = tap // s.kernel_w * s.dilation_h - s.top
        across = tap % s.kernel_w * s.dilation_w - s.left
        source = (image * s.fields * taps + line) * results
        for i in range(count):
            p = first + i
            row = offset[2 * source + p] + (p // s.columns * s.stride_h + down)
            column = offset[2 * source + results + p] + (p % s.columns * s.stride_w + across)
            _interpolate(row, column, s.height, s.width, 4 * i, corners, shares)
        for c in range(field * shared, (field + 1) * shared):
            plane = (image * s.channels + c) * s.height * s.width
            to = (c * taps + tap) * s.block
            for i in range(count):
                value = x.dtype.type(0)
                for corner in range(4 * i, 4 * i + 4):
                    if corners[corner] >= 0:
                        value += shares[corner] * x[plane + corners[corner]]
                sampled[to + i] = value * mask[source + first + i] if mask.size > 0 else value


@device
def _interpolate(
    row: float, column: float, height: int, width: int, at: int, corners: Array, shares: Array
) -> None:
    """Place in the plane and share of each of the four pixels around a point; -1: outside, or of share 0. At a point
    that is not a number a pixel has a share that is none."""
    corners[at : at + 4] = -1
    if math.isnan(row) or math.isnan(column):
        corners[at], shares[at] = 0, math.nan
        return
    if not (row > -1 and row < height and column > -1 and column < width):
        return
    top, left = math.floor(row), math.floor(column)
    below, beside = row - top, column - left
    for corner in range(4):
        r, c = top + corner // 2, left + corner % 2
        vertical = below if corner // 2 == 1 else 1 - below
        share = vertical * (beside if corner % 2 == 1 else 1 - beside)
        if 0 <= r < height and 0 <= c < width and share != 0:
            corners[at + corner] = r * width + c
            shares[at + corner] = share
