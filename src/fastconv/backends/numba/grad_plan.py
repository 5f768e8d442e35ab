"""How the gradient of a convolution's weights is summed: which kernel, and its numbers and tables.

The sum goes over all pixels of `grad_output`. It is cut into segments, bands of rows of an image, and chunks of
segments are summed apart, so that threads can share them; their number depends on the problem alone. The two
operands of a 1x1 convolution are alike, and may change places. Called by `grad_weight.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fastconv.backends.numba.compile import table
from fastconv.backends.numba.gemm import TILE_ROWS, TILE_VECTORS
from fastconv.backends.numba.geometry import BAND_BYTES, Runs, band_rows, plane_size, runs
from fastconv.backends.numba.passes import axis_passes, slots
from fastconv.backends.numba.simd import lanes
from fastconv.caches import kept_up_to
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array

# Pixels whose products are summed in registers.
BLOCK = 256
# Rows of dot products that share a vector of `grad_output`: the taps of a 3x3 kernel.
DOT_ROWS = 9
# What there is to share among threads, where the pixels suffice.
_ITEMS = 16
# Bytes of all partial sums, as far as they are more than the weights.
_SUMS_BYTES = 8 * 2**20
# Bytes of a channel's pixels that stay in a first-level cache while dot products are made of them.
_CHANNEL_BYTES = 16 * 1024


class Reduction(NamedTuple):
    """Plain numbers. Rows and columns are those of `grad_output`; names as in `Geometry` mean the same."""

    groups: int
    inner: int
    outer: int
    height: int
    width: int
    rows: int
    columns: int
    row_step: int
    column_step: int
    pitch: int
    plane: int
    planes: int
    copied: int  # elements of the copy that a segment makes of x
    band: int  # rows of a segment
    segments: int  # of an image
    first: int  # of the segments to sum
    units: int  # how many: at first the segments of all images
    together: int  # segments whose products are summed as one
    chunks: int
    parts: int  # into which the results of a chunk are divided: an item is one of them
    panels: int  # of results, `lanes` side by side
    lanes: int


class GradientPlan(NamedTuple):
    """All that the kernels need besides the arrays. They make sums (chunk, panel, row, lane)."""

    dots: bool  # dot products, or register tiles
    swapped: bool  # x and `grad_output` change places
    reduction: Reduction
    slot_rows: Array  # as in `geometry.Pass`
    columns: Runs
    a_rows: Array  # where in the copy the pixels of each row of sums start
    items: int
    rows: int  # of sums, without those that only fill a tile
    row_step: int  # from one row to the next, in the weights
    lane_at: Array  # (panel, lane): where in the weights a column of sums starts, -1: nowhere


class _Copy(NamedTuple):
    """The copy of x that a segment makes."""

    band: int
    slot_rows: list[int]
    columns: Runs
    pitch: int
    plane: int
    size: int
    starts: Array  # `a_rows`


@kept_up_to(64 << 20)
def make_plan(problem: ConvProblem) -> GradientPlan:
    """The plan of a plain problem."""
    dots, swapped = min(_costs(problem), key=lambda way: way[0])[1]
    index = weight_index(problem)
    if swapped:
        problem, index = _swapped(problem), index.swapaxes(1, 2)
    groups, outer, inner, taps = index.shape
    channels_last, vector = problem.channels_last, lanes(problem.dtype)
    copy = _copy(problem, dots)
    starts, rows = index[:, :, 0, 0], index[0, 0].T if channels_last else index[0, 0]
    wide, height = (1, DOT_ROWS) if dots else (TILE_VECTORS * vector, TILE_ROWS)
    if dots and channels_last:
        # A panel is some channels of all groups, for one filter of each.
        starts, rows, wide = index[..., 0].swapaxes(0, 1).reshape(outer, -1), index[0, 0, 0], vector
    lane_at, a_rows = lane_table(starts, wide), filled_rows(copy.starts, height)
    panels, segments = lane_at.size // wide, -(-problem.out_size[0] // copy.band)
    units = problem.batch * segments
    together = 1 if dots or segments > 1 else _together(problem, copy.size)
    natural = groups if dots and not channels_last else 1
    size = lane_at.size * a_rows.size * problem.dtype.itemsize
    chunks = chunk_count(-(-units // together), size, natural)
    # Every part copies x again, which costs more the fewer products are made of a pixel.
    parts = natural if dots else min(-(-_ITEMS // chunks), panels, max(groups, panels * taps // 4))
    flat = rows.reshape(-1)
    return GradientPlan(
        dots, swapped,
        Reduction(
            groups, inner, outer, *problem.size, *problem.out_size, *problem.stride, copy.pitch, copy.plane, 1,
            copy.size, copy.band, segments, 0, units, together, chunks, parts, panels, wide,
        ),
        table(copy.slot_rows), copy.columns, a_rows, chunks * parts,
        flat.size, int(flat[1] - flat[0]) if flat.size > 1 else 1, lane_at,
    )  # fmt: skip


def weight_index(problem: ConvProblem) -> Array:
    """(group, filter, channel, tap): where in memory each weight is."""
    taps = problem.kernel[0] * problem.kernel[1]
    index: Array = np.arange(problem.filters * (problem.channels // problem.groups) * taps)
    if problem.channels_last:
        index = index.reshape(taps, -1, problem.filters).transpose(2, 1, 0)
    return index.reshape(problem.groups, problem.filters // problem.groups, -1, taps)


def lane_table(starts: Array, wide: int) -> Array:
    """The rows of `starts` in panels of `wide` lanes, filled with -1."""
    return table(np.pad(starts, ((0, 0), (0, -starts.shape[1] % wide)), constant_values=-1).reshape(-1))


def filled_rows(starts: Array, height: int) -> Array:
    """`starts` in whole tiles: rows that only fill the last one are like the first."""
    flat = starts.reshape(-1)
    return table(np.pad(flat, (0, -flat.size % height), constant_values=flat[0]))


def chunk_count(units: int, sums_bytes: int, items: int = 1) -> int:
    """Parts of the sum that threads share, where each makes `items` and needs so many bytes."""
    return max(1, min(units, -(-_ITEMS // items), _SUMS_BYTES // sums_bytes))


def _swapped(problem: ConvProblem) -> ConvProblem:
    return replace(problem, channels=problem.filters, filters=problem.channels)


def _up(count: int, step: int) -> int:
    return -(-count // step) * step


def _costs(problem: ConvProblem) -> list[tuple[float, tuple[bool, bool]]]:
    """About how many cycles a pixel of `grad_output` takes, for each way (dots, swapped) to do it."""
    # A transposed convolution's output padding makes the image larger than what the kernel meets.
    covers = problem.size == problem.out_size and not any(problem.padding)
    alike = covers and problem.kernel == problem.stride == (1, 1)
    costs = []
    for swapped in (False, True)[: 1 + alike]:
        p = _swapped(problem) if swapped else problem
        inner, outer, taps = p.channels // p.groups, p.filters // p.groups, p.kernel[0] * p.kernel[1]
        vector, columns = lanes(p.dtype), p.out_size[1]
        tile = _up(inner * taps, TILE_ROWS) * -(-outer // (TILE_VECTORS * vector))
        if not p.channels_last:
            pack = 1.2 * outer
            dots = p.filters * _up(inner * taps, DOT_ROWS) * (_up(columns, vector) / columns / vector)
        else:
            pack = 0.3 * outer + (40 if p.groups > 1 else 20)
            spread = outer * p.channels / (1 if 1 < inner < vector else vector)
            dots = outer * _up(taps, DOT_ROWS) * -(-p.channels // vector) + spread
        costs.append((p.groups * (tile + pack), (False, swapped)))
        # Other than tiles they wait for memory.
        costs.append((2.5 * dots, (True, swapped)))
    return costs


def _copy(problem: ConvProblem, dots: bool) -> _Copy:
    (row,), (column,) = axis_passes(problem, 0), axis_passes(problem, 1)
    assert row is not None
    assert column is not None
    inner, itemsize = problem.channels // problem.groups, problem.dtype.itemsize
    first_column, copied = slots(column, column.results)
    pitch, pixel = len(copied), inner
    if dots and problem.channels_last:
        pixel = _up(problem.channels, lanes(problem.dtype))
    affordable = band_rows(row, pitch * pixel * itemsize)
    if dots and not problem.channels_last:
        affordable = min(affordable, band_rows(row, pitch * itemsize, _CHANNEL_BYTES))
    # Few enough for all threads to have some, but enough pixels to sum in registers.
    fair = -(-problem.batch * row.results // _ITEMS)
    band = min(affordable, max(fair, -(-BLOCK // column.results)))
    first, slot_rows = slots(row, band)
    places = np.add.outer(np.array(first) * pitch, first_column).reshape(-1)
    elements, columns = len(slot_rows) * pitch, runs(copied, column.step)
    if not problem.channels_last:
        plane = plane_size(elements, itemsize)
        starts = np.add.outer(np.arange(inner) * plane, places)
        return _Copy(band, slot_rows, columns, pitch, plane, inner * plane, starts)
    starts = places * pixel if dots else np.add.outer(places * pixel, np.arange(inner))
    return _Copy(band, slot_rows, columns, pitch, pixel, elements * pixel, starts)


def _together(problem: ConvProblem, copied: int) -> int:
    """How many small images are summed as one."""
    rows, columns = problem.out_size
    affordable = BAND_BYTES // (copied * problem.dtype.itemsize)
    return max(1, min(problem.batch, BLOCK // (rows * columns), affordable))
