"""The numbers and tables that one pass of a convolution hands to its kernel; `conv.py` makes them, once per problem."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastconv.backends.numba.compile import Array, read, table
from fastconv.backends.numba.gemm import CHANNEL_ROWS, THIN_VECTORS, TILE_ROWS, TILE_VECTORS
from fastconv.backends.numba.passes import Axis, axes, slots
from fastconv.backends.numba.simd import VECTOR_BYTES, lanes
from fastconv.backends.numba.weights import channel_counts, method, panel_width, panels
from fastconv.problem import ConvProblem

# Bytes of the copied band of pixels, and of the block of sums: together they stay in a second-level cache.
_BAND_BYTES = 512 * 1024
_SUMS_BYTES = 64 * 1024


class Geometry(NamedTuple):
    """Plain numbers of a pass. "Rows" and "columns" are results of the pass, pixels those of its operand."""

    batch: int
    groups: int
    inner: int  # channels of a group of the operand
    outer: int  # and of the result
    height: int  # pixels
    width: int
    rows: int
    columns: int
    row_step: int  # pixels from one row of results to the next
    column_step: int
    out_height: int
    out_width: int
    out_row: int  # where the first row and column of results lie, and how far apart they are
    out_row_step: int
    out_column: int
    out_column_step: int
    run: int  # results that are neighbours in memory (NCHW), if columns are
    band: int  # rows of results whose pixels are copied at a time
    plane: int  # elements of a copied channel, for one column of the kernel (NCHW), or a copied pixel (NHWC)
    block: int  # results whose sums are kept at a time
    part: int  # filters of a group that an item computes
    parts: int
    lanes: int  # of the blocks that a tile computes
    special: int  # 1 for the "thin" and "channels" methods


class Pass(NamedTuple):
    """All that a kernel needs besides the arrays."""

    index: int  # of the packed weights
    geometry: Geometry
    slot_rows: Array  # pixel row of each copied row, relative to the first result's
    columns: Array  # NCHW: pixel column of each tap column; NHWC: of each copied column
    a_rows: Array  # NCHW: start of each filter's weights; NHWC: channel of the operand in each copied one, or empty
    a_taps: Array
    b_taps: Array
    items: int


@lru_cache(maxsize=256)
def make_passes(problem: ConvProblem, threads: int) -> tuple[Pass, ...]:
    """The passes of a problem, for that many threads."""
    make = _nchw if problem.layout == "NCHW" else _nhwc
    columns = axes(problem, 1)
    return tuple(
        make(problem, threads, i * len(columns) + j, row, column)
        for i, row in enumerate(axes(problem, 0))
        for j, column in enumerate(columns)
        if row is not None and column is not None
    )


def _parts(problem: ConvProblem, threads: int, units: int) -> int:
    """Into how many parts the filters are cut: more than one where too few rows of results are there to share."""
    if units >= 16 * threads or units % threads == 0:
        return 1
    return min(threads, panels(problem))


def _geometry(problem: ConvProblem, row: Axis, column: Axis, **rest: int) -> Geometry:
    inner, outer = channel_counts(problem)
    operand, result = problem.size, problem.out_size
    if problem.transposed:
        operand, result = result, operand
    together = row.stride == column.stride == 1 and column.count == result[1]
    return Geometry(
        problem.batch, problem.groups, inner, outer, *operand, row.count, column.count, row.step, column.step,
        *result, row.start, row.stride, column.start, column.stride,
        run=row.count * column.count if together else column.count, special=int(method(problem) != "tile"), **rest,
    )  # fmt: skip


def _band(axis: Axis, row_bytes: int, least: int) -> int:
    """Rows of results at a time, so that the pixels they need stay in cache; at least `least`."""
    halo = -(-(max(axis.offsets) - min(axis.offsets)) // axis.step)
    affordable = _BAND_BYTES // row_bytes
    return min(axis.count, max(least, affordable - halo, affordable // len(axis.taps), 1))


def _nchw(problem: ConvProblem, threads: int, index: int, row: Axis, column: Axis) -> Pass:
    inner, outer = channel_counts(problem)
    item, thin, vector = problem.dtype.itemsize, method(problem) == "thin", lanes(problem.dtype)
    block_lanes = vector * (THIN_VECTORS if thin else TILE_VECTORS)
    row_bytes = inner * len(column.taps) * column.count * item
    band = _band(row, row_bytes, -(-2 * block_lanes // column.count))
    first, pixels = slots(row, band)
    plane = _plane(len(pixels) * column.count, item)
    taps = inner * len(row.taps) * len(column.taps)
    b_taps = (
        np.arange(inner)[:, np.newaxis, np.newaxis] * (len(column.taps) * plane)
        + np.array(first)[:, np.newaxis] * column.count
        + np.arange(len(column.taps)) * plane
    )
    width = panel_width(problem)
    rows = np.arange(problem.groups * panels(problem) * width)
    units = problem.batch * problem.groups * row.count
    parts = _parts(problem, threads, units)
    part = -(-panels(problem) // parts) * width
    parts = -(-outer // part)
    padded = -(-part // width) * width
    blocks = max(1, _SUMS_BYTES // (padded * block_lanes * item))
    blocks = min(blocks, -(-band * column.count // block_lanes))
    geometry = _geometry(
        problem, row, column, band=band, plane=plane, block=blocks * block_lanes, part=part, parts=parts, lanes=block_lanes
    )
    return Pass(
        index, geometry, table(pixels), table(column.offsets), table(rows // width * width * taps + rows % width),
        table(np.arange(taps) * width), table(b_taps.ravel()), units * parts,
    )  # fmt: skip


def _plane(elements: int, itemsize: int) -> int:
    """Room for so many elements, in an odd number of vectors: powers of two would share few lines of a cache."""
    vectors = -(-elements * itemsize // VECTOR_BYTES)
    return (vectors | 1) * VECTOR_BYTES // itemsize


def _nhwc(problem: ConvProblem, threads: int, index: int, row: Axis, column: Axis) -> Pass:
    inner, outer = channel_counts(problem)
    item, special, width = problem.dtype.itemsize, method(problem) == "channels", panel_width(problem)
    copied = inner * width if special else inner * problem.groups
    first_column, columns = slots(column, column.count)
    tile_rows = CHANNEL_ROWS if special else TILE_ROWS
    band = _band(row, len(columns) * copied * item, -(-tile_rows // column.count))
    first, pixels = slots(row, band)
    places = np.add.outer(np.array(first) * len(columns), first_column) * copied
    channel = np.arange(inner) * (width if special else 1)
    a_taps = np.add.outer(places, channel).ravel()
    units = problem.batch * row.count
    parts = 1 if problem.groups > 1 else _parts(problem, threads, units)
    per_part = -(-panels(problem) // parts)
    parts = -(-panels(problem) // per_part)
    block = max(1, _SUMS_BYTES // (per_part * width * item * tile_rows)) * tile_rows
    block = min(block, -(-band * column.count // tile_rows) * tile_rows)
    geometry = _geometry(
        problem, row, column, band=band, plane=copied, block=block, part=per_part * width, parts=parts,
        lanes=lanes(problem.dtype) if special else width,
    )  # fmt: skip
    return Pass(
        index, geometry, table(pixels), table(columns), _expansion(problem) if special else read(np.empty(0, np.int64)),
        table(a_taps), table(np.arange(a_taps.size) * width), units * parts,
    )  # fmt: skip


def _expansion(problem: ConvProblem) -> Array:
    """For the "channels" method: the channel that each lane multiplies, for every channel of a group; -1: none."""
    inner, outer = channel_counts(problem)
    lane = np.arange(panel_width(problem))
    group = np.where(lane < problem.groups * outer, lane // outer, -1)
    return table(np.where(group < 0, -1, group * inner + np.arange(inner)[:, np.newaxis]).ravel())
