"""The numbers and tables that one pass of a convolution hands to its kernel, made once for each problem."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastconv.backends.numba.compile import table
from fastconv.backends.numba.gemm import CHANNEL_ROWS, THIN_VECTORS, TILE_ROWS, TILE_VECTORS
from fastconv.backends.numba.passes import AxisPass, axis_passes, slots
from fastconv.backends.numba.simd import VECTOR_BYTES, lanes
from fastconv.backends.numba.weights import channel_counts, channel_lanes, method, panel_width, panels
from fastconv.caches import kept_up_to
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array

# Bytes of the copied band of pixels, and of the block of sums: together they fit a second-level cache.
BAND_BYTES = 512 * 1024
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
    out_row: int  # where in the result the first row and column lie, and how far apart they are
    out_row_step: int
    out_column: int
    out_column_step: int
    band: int  # rows of results whose pixels are copied at a time
    pitch: int  # columns of copied pixels
    joined: int  # NCHW: 1 if rows of results follow each other, in the sums and in memory
    plane: int  # elements of a copied plane (NCHW), or of a copied pixel (NHWC)
    planes: int  # copies of a channel (NCHW), or of a pixel (NHWC)
    block: int  # results whose sums are kept at a time
    part: int  # filters of a group that an item computes, or lanes of a block of pixels ("channels")
    parts: int
    lanes: int  # of the blocks that a tile computes


class Runs(NamedTuple):
    """Columns of pixels that are copied side by side: the first one, its place in the copy, and how many."""

    pixel: Array
    place: Array
    length: Array


class Pass(NamedTuple):
    """All that a kernel needs besides the arrays."""

    weights: int  # which of the packed arrays
    geometry: Geometry
    slot_rows: Array  # pixel row of each copied row, relative to the first result's
    columns: Runs
    a_rows: Array  # NCHW: start of each filter's weights; "channels": see `_expansion`
    a_taps: Array
    b_taps: Array
    items: int
    nanoseconds: float


@kept_up_to(64 << 20)
def make_passes(problem: ConvProblem, threads: int) -> tuple[Pass, ...]:
    """The passes of a problem, for that many threads."""
    make = _nchw if not problem.channels_last else _channels if method(problem) == "channels" else _nhwc
    columns = axis_passes(problem, 1)
    return tuple(
        make(problem, threads, i * len(columns) + j, row, column)
        for i, row in enumerate(axis_passes(problem, 0))
        for j, column in enumerate(columns)
        if row is not None and column is not None
    )


def nanoseconds(problem: ConvProblem) -> float:
    """About how long one thread takes."""
    return problem.flops / {"tile": 100, "phases": 2}.get(method(problem), 20)


def _geometry(problem: ConvProblem, row: AxisPass, column: AxisPass, **rest: int) -> Geometry:
    inner, outer = channel_counts(problem)
    operand, result = problem.size, problem.out_size
    if problem.transposed:
        operand, result = result, operand
    return Geometry(
        problem.batch, problem.groups, inner, outer, *operand,
        row.results, column.results, row.step, column.step,
        *result, row.start, row.stride, column.start, column.stride,
        **rest,
    )  # fmt: skip


def _parts(problem: ConvProblem, threads: int, units: int) -> tuple[int, int]:
    """Panels of filters in a part, and parts: more than one where rows of results are too few to share."""
    count = panels(problem)
    parts = 1 if units >= 16 * threads or units % threads == 0 else min(threads, count)
    part = -(-count // parts)
    return part, -(-count // part)


def band_rows(axis: AxisPass, row_bytes: int, most: int = BAND_BYTES) -> int:
    """Rows of results at a time, so that the pixels they need stay in cache, of which they take `most` bytes."""
    halo = -(-(max(axis.offsets) - min(axis.offsets)) // axis.step)
    affordable = most // row_bytes
    return min(axis.results, max(1, affordable - halo, affordable // len(axis.taps)))


def runs(columns: list[int], step: int) -> Runs:
    """The runs of a list of pixel columns that are to be copied."""
    starts = [i for i in range(len(columns)) if i == 0 or columns[i] - columns[i - 1] != step]
    return Runs(table([columns[i] for i in starts]), table(starts), table(np.diff([*starts, len(columns)])))


def _shifted(axis: AxisPass) -> tuple[list[int], list[int], list[int]]:
    """Copies of a row of pixels in which taps meet runs of pixels, each at its shift.

    For each tap which copy, and the shift; for each copy its first pixel. Shifts are small, since so many sums of a
    row are not used.
    """
    copies, shifts = [0] * len(axis.taps), [0] * len(axis.taps)
    starts: list[int] = []
    for t in sorted(range(len(axis.taps)), key=lambda t: (axis.offsets[t] % axis.step, axis.offsets[t])):
        shift, remainder = divmod(axis.offsets[t] - starts[-1], axis.step) if starts else (0, 1)
        if remainder != 0 or shift > axis.results // 6:
            starts.append(axis.offsets[t])
            shift = 0
        copies[t], shifts[t] = len(starts) - 1, shift
    return copies, shifts, starts


def _nchw(problem: ConvProblem, threads: int, index: int, row: AxisPass, column: AxisPass) -> Pass:
    inner, _ = channel_counts(problem)
    itemsize, width = problem.dtype.itemsize, panel_width(problem)
    results = column.results
    wide = lanes(problem.dtype) * (THIN_VECTORS if method(problem) == "thin" else TILE_VECTORS)
    copies, shifts, starts = _shifted(column)
    pitch, planes = results + max(shifts), len(starts)
    # Enough for tiles to be filled.
    band = max(band_rows(row, inner * planes * pitch * itemsize), min(row.results, -(-2 * wide // results)))
    first, pixels = slots(row, band)
    plane = plane_size(len(pixels) * pitch, itemsize)
    columns = Runs(table(starts), table(np.arange(planes) * plane), table([pitch] * planes))
    tap_columns = np.array(copies) * plane + shifts
    out_width = (problem.size if problem.transposed else problem.out_size)[1]
    joined = pitch == results == out_width and row.stride == column.stride == 1
    places = np.add.outer(np.array(first) * pitch, tap_columns)
    b_taps = np.add.outer(np.arange(inner) * (planes * plane), places)
    filters = np.arange(problem.groups * panels(problem) * width)
    units = problem.batch * problem.groups * row.results
    part, parts = _parts(problem, threads, units)
    blocks = max(1, _SUMS_BYTES // (part * width * wide * itemsize))
    blocks = min(blocks, -(-pitch * band // wide))
    geometry = _geometry(
        problem, row, column, band=band, joined=int(joined), pitch=pitch, plane=plane, planes=planes,
        block=blocks * wide, part=part * width, parts=parts, lanes=wide,
    )  # fmt: skip
    return Pass(
        index, geometry, table(pixels), columns,
        table(filters // width * width * b_taps.size + filters % width),
        table(np.arange(b_taps.size) * width), table(b_taps), units * parts, _share(problem, row, column),
    )  # fmt: skip


def _nhwc(problem: ConvProblem, threads: int, index: int, row: AxisPass, column: AxisPass) -> Pass:
    inner, _ = channel_counts(problem)
    itemsize, width = problem.dtype.itemsize, panel_width(problem)
    plane = inner * problem.groups
    first_column, copied = slots(column, column.results)
    band = max(
        band_rows(row, len(copied) * plane * itemsize), min(row.results, -(-TILE_ROWS // column.results))
    )
    first, pixels = slots(row, band)
    places = np.add.outer(np.array(first) * len(copied), first_column) * plane
    a_taps = np.add.outer(places, np.arange(inner))
    units = problem.batch * row.results
    part, parts = _parts(problem, threads, units) if problem.groups == 1 else (panels(problem), 1)
    block = max(1, _SUMS_BYTES // (part * width * itemsize * TILE_ROWS)) * TILE_ROWS
    block = min(block, -(-band * column.results // TILE_ROWS) * TILE_ROWS)
    geometry = _geometry(
        problem, row, column, band=band, joined=0, pitch=len(copied), plane=plane, planes=1,
        block=block, part=part * width, parts=parts, lanes=width,
    )  # fmt: skip
    return Pass(
        index, geometry, table(pixels), runs(copied, column.step), table([]), table(a_taps),
        table(np.arange(a_taps.size) * width), units * parts, _share(problem, row, column),
    )  # fmt: skip


def _channels(problem: ConvProblem, threads: int, index: int, row: AxisPass, column: AxisPass) -> Pass:
    inner, _ = channel_counts(problem)
    width, plane = channel_lanes(problem)
    itemsize, blocks = problem.dtype.itemsize, -(-column.results // (width // plane))
    first_column, copied = slots(column, column.results)
    row_bytes = inner * len(copied) * plane * itemsize
    band = max(band_rows(row, row_bytes), min(row.results, -(-CHANNEL_ROWS // blocks)))
    first, pixels = slots(row, band)
    places = np.add.outer(np.array(first) * len(copied), first_column)
    a_taps = np.add.outer(places, np.arange(inner) * (len(pixels) * len(copied))) * plane
    block = max(1, _SUMS_BYTES // (width * itemsize * CHANNEL_ROWS)) * CHANNEL_ROWS
    block = min(block, -(-band * blocks // CHANNEL_ROWS) * CHANNEL_ROWS)
    geometry = _geometry(
        problem, row, column, band=band, joined=0, pitch=len(copied), plane=plane, planes=inner,
        block=block, part=width, parts=1, lanes=lanes(problem.dtype),
    )  # fmt: skip
    return Pass(
        index, geometry, table(pixels), runs(copied, column.step), _expansion(problem), table(a_taps),
        table(np.arange(a_taps.size) * width), problem.batch * row.results, _share(problem, row, column),
    )  # fmt: skip


def plane_size(elements: int, itemsize: int) -> int:
    """Room for so many elements, in an odd number of vectors: powers of two share few lines of a cache."""
    vectors = -(-elements * itemsize // VECTOR_BYTES)
    return (vectors | 1) * VECTOR_BYTES // itemsize


def _expansion(problem: ConvProblem) -> Array:
    """For "channels": the channel that each lane of a pixel multiplies, for every channel of a group.

    -1 stands for none; the table is empty where the lanes are the channels.
    """
    inner, outer = channel_counts(problem)
    plane = channel_lanes(problem)[1]
    if inner == outer == 1 and plane == problem.groups:
        return table([])
    group = np.arange(plane) // outer
    channel = group * inner + np.arange(inner)[:, np.newaxis]
    return table(np.where(group < problem.groups, channel, -1))


def _share(problem: ConvProblem, row: AxisPass, column: AxisPass) -> float:
    """Nanoseconds of a pass, by its part of the taps."""
    return nanoseconds(problem) * len(row.taps) * len(column.taps) / (problem.kernel[0] * problem.kernel[1])
