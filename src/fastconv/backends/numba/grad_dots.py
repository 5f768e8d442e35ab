"""Gradient of a convolution's weights by dot products, for few filters in a group, as in depthwise convolution.

Nine rows of sums share the vectors of `grad_output`. Channels first, a vector's lanes are pixels of a row, which
are added up at last, and an item is a chunk of the pixels of a group. Channels last, they are channels, and an
item is a chunk. Called by `grad_weight.py`.
"""

from __future__ import annotations

import numpy as np

from fastconv.backends.numba.compile import device, kernel
from fastconv.backends.numba.geometry import Runs
from fastconv.backends.numba.grad_plan import DOT_ROWS, Reduction
from fastconv.backends.numba.lines import clear, copy, count_up
from fastconv.backends.numba.nchw import copy_planes
from fastconv.backends.numba.nhwc import copy_pixels
from fastconv.backends.numba.simd import VECTOR_BYTES, make_dots
from fastconv.backends.numba.totals import settle_every, take_all
from fastconv.typing import Array

_dots = make_dots(DOT_ROWS)
# Steps whose products are summed before they are added to what is in memory.
_TAPS = 512


@kernel
def plane_sums(
    start: int, stop: int, x: Array, grad: Array, sums: Array, g: Reduction, slot_rows: Array, columns: Runs,
    a_rows: Array,
) -> None:  # fmt: skip
    """Channels first."""
    vector = VECTOR_BYTES // x.itemsize
    full, rest = g.columns // vector, g.columns % vector
    padded = full * vector + (vector if rest > 0 else 0)
    # Tiles read, but do not use, a little beyond the last pixel.
    pixels = np.empty(g.copied + vector, x.dtype)
    clear(pixels, 0, pixels.size)
    lines = np.empty(g.outer * g.band * padded, x.dtype)
    clear(lines, 0, lines.size)
    a_taps, b_taps = np.empty(g.band * full, np.int64), np.empty(g.band * full, np.int64)
    for i in range(g.band):
        for v in range(full):
            a_taps[i * full + v], b_taps[i * full + v] = i * g.pitch + v * vector, i * padded + v * vector
    a_ends, b_ends = np.empty(g.band, np.int64), np.empty(g.band, np.int64)
    for i in range(g.band):
        a_ends[i], b_ends[i] = i * g.pitch + full * vector, i * padded + full * vector
    wide = np.empty(g.outer * a_rows.size * vector, x.dtype)
    totals, rests = np.empty(wide.size, x.dtype), np.empty(wide.size, x.dtype)
    for item in range(start, stop):
        chunk, group = item // g.groups, item % g.groups
        clear(wide, 0, wide.size)
        terms = 0
        for unit in range(g.first + chunk * g.units // g.chunks, g.first + (chunk + 1) * g.units // g.chunks):
            image, row = unit // g.segments, unit % g.segments * g.band
            plane, rows = image * g.groups + group, min(g.band, g.rows - row)
            copy_planes(
                x, plane * g.inner * g.height * g.width, row * g.row_step, g, slot_rows, columns, pixels
            )  # fmt: skip
            for f in range(g.outer):
                origin, line = ((plane * g.outer + f) * g.rows + row) * g.columns, f * g.band * padded
                for i in range(rows):
                    copy(grad, origin + i * g.columns, 1, g.columns, lines, line + i * padded)
            step = g.band * padded
            terms = _add_dots(
                pixels, a_rows, a_taps, lines, step, b_taps, rows * full, vector, g, terms, wide, totals, rests
            )  # fmt: skip
            terms = _add_dots(
                pixels, a_rows, a_ends, lines, step, b_ends, min(rest, 1) * rows, rest, g, terms, wide, totals, rests
            )  # fmt: skip
        take_all(terms, wide, wide.size, totals, rests)
        for s in range(g.outer * a_rows.size):
            count = vector
            while count > 1:
                count //= 2
                for i in range(s * vector, s * vector + count):
                    wide[i] += wide[i + count]
            sums[item * g.outer * a_rows.size + s] = wide[s * vector]


@kernel
def channel_dots(
    start: int, stop: int, x: Array, grad: Array, sums: Array, g: Reduction, slot_rows: Array, columns: Runs,
    a_rows: Array,
) -> None:  # fmt: skip
    """Channels last. For each filter of a group its `grad_output` stands below all channels of the group."""
    most, vector = g.band * g.columns, g.lanes
    # Lanes beyond the last channel are computed, but not used.
    pixels, lines = np.empty(g.copied, x.dtype), np.empty(most * g.plane, x.dtype)
    clear(pixels, 0, pixels.size)
    clear(lines, 0, lines.size)
    a_taps, b_taps = np.empty(most, np.int64), np.empty(most, np.int64)
    count_up(b_taps, g.plane)
    for p in range(most):
        a_taps[p] = (p // g.columns * g.pitch + p % g.columns) * g.plane
    size = g.panels * a_rows.size * vector
    totals, rests = np.empty(size, x.dtype), np.empty(size, x.dtype)
    for chunk in range(start, stop):
        own = sums[chunk * size : (chunk + 1) * size]
        clear(own, 0, size)
        terms = 0
        for unit in range(g.first + chunk * g.units // g.chunks, g.first + (chunk + 1) * g.units // g.chunks):
            image, row = unit // g.segments, unit % g.segments * g.band
            count = min(g.band, g.rows - row) * g.columns
            copy_pixels(x, image, row * g.row_step, 0, g, slot_rows, columns, pixels)
            for p in range(0, count, _TAPS):
                terms = _next_term(terms, own, totals, rests)
                last, to = min(p + _TAPS, count), 0
                for f in range(g.outer):
                    _spread(grad, (image * g.rows + row) * g.columns, p, last, f, g, lines)
                    for lane in range(0, g.plane, vector):
                        for r in range(0, a_rows.size, DOT_ROWS):
                            _dots(
                                pixels, lane, a_rows, r, a_taps, lines, lane, b_taps, p, last, vector, own, to
                            )  # fmt: skip
                            to += DOT_ROWS * vector
        take_all(terms, own, size, totals, rests)


@device
def _add_dots(
    pixels: Array, a_rows: Array, a_taps: Array, lines: Array, step: int, b_taps: Array, count: int, used: int,
    g: Reduction, terms: int, wide: Array, totals: Array, rests: Array,
) -> int:  # fmt: skip
    """The products of a segment's first `count` taps, of which so many lanes are used, to all sums of a group."""
    vector = VECTOR_BYTES // lines.itemsize
    for p in range(0, count, _TAPS):
        terms = _next_term(terms, wide, totals, rests)
        for f in range(g.outer):
            for r in range(0, a_rows.size, DOT_ROWS):
                to = (f * a_rows.size + r) * vector
                _dots(
                    pixels, 0, a_rows, r, a_taps, lines, f * step, b_taps, p, min(p + _TAPS, count), used, wide, to
                )  # fmt: skip
    return terms


@device
def _next_term(terms: int, sums: Array, totals: Array, rests: Array) -> int:
    """Before dots are added to all of the sums."""
    settle_every(terms, sums, sums.size, totals, rests)
    return terms + 1


@device
def _spread(grad: Array, first: int, start: int, stop: int, f: int, g: Reduction, lines: Array) -> None:
    """Filter `f` of every group in the lanes of the group's channels, for the pixels from `start` to `stop`."""
    for p in range(start, stop):
        origin, to = (first + p) * g.groups * g.outer + f, p * g.plane
        if g.inner == 1:
            copy(grad, origin, g.outer, g.groups, lines, to)
            continue
        for group in range(g.groups):
            value = grad[origin + group * g.outer]
            for lane in range(to + group * g.inner, to + (group + 1) * g.inner):
                lines[lane] = value
