"""The matrix products that all convolutions end in: register tiles over operands that tables gather.

A "tap" is one term of a convolution's sum: a channel, at a place in the kernel. The operands are not
rearranged into matrices: `a_rows[row] + a_taps[tap]` and `column + b_taps[tap]` say where their elements are.
NCHW multiplies weights (a) by contiguous pixels (b), NHWC pixels (a) by contiguous weights (b).
"""

from __future__ import annotations

from typing import Any

from fastconv.backends.numba.compile import device, inner
from fastconv.backends.numba.simd import make_line, make_tile
from fastconv.typing import Array

# 12 accumulators and 3 operands fit in 16 registers, and hide the latency of fused multiply-add.
TILE_ROWS, TILE_VECTORS = 6, 2
# One row against many pixels, for groups of one or two filters.
THIN_VECTORS = 4
# Pixels that share the weights of a vector of channels, where every channel has weights of its own.
CHANNEL_ROWS = 4
# Taps at a time: so many rows of two 512-bit vectors take half of a 32 KiB first-level cache, and their sum, made by
# itself, has more digits than one that goes on with millions of taps.
_TAPS = 128

_tile = make_tile(TILE_ROWS, TILE_VECTORS, broadcast=True)
_line = make_line(THIN_VECTORS)
_channels = make_tile(CHANNEL_ROWS, 1, broadcast=False)


@device
def multiply(
    a: Array, a_rows: Array, row: int, rows: int, a_taps: Array,
    b: Array, column: int, column_step: int, columns: int, b_taps: Array, lanes: int,
    c: Array, pitch: int,
) -> None:  # fmt: skip
    """Add the products of `rows` rows and `columns` blocks of `lanes` to `c`, with rows `pitch` apart."""
    for first in range(0, a_taps.size, _TAPS):
        last = min(first + _TAPS, a_taps.size)
        for block in range(columns):
            start = column + block * column_step
            for r in range(0, rows, TILE_ROWS):
                to = r * pitch + block * lanes
                _tile(a, a_rows, row + r, a_taps, b, start, b_taps, first, last, c, to, pitch)


@inner
def sum_taps(
    weights: Array, place: int, pixels: Array, at: int, taps: Array, initial: Any, count: int, target: Array,
    start: int,
) -> None:  # fmt: skip
    """``target[start + i]`` is `initial` and the products of a filter's weights, from `place` on, with pixels.

    Its taps see pixels ``at + taps[t] + i``, for ``i < count``.
    """
    for first in range(0, taps.size, _TAPS):
        last = min(first + _TAPS, taps.size)
        _line(weights, place, pixels, at, taps, first, last, initial, count, target, start)


@device
def multiply_channels(
    a: Array,
    a_rows: Array,
    rows: int,
    a_taps: Array,
    b: Array,
    b_taps: Array,
    lanes: int,
    c: Array,
    pitch: int,
) -> None:
    """Add ``a * b`` lane by lane: every channel has weights of its own."""
    for start in range(0, pitch, lanes):
        shifted = a[start:]
        for r in range(0, rows, CHANNEL_ROWS):
            to = r * pitch + start
            _channels(shifted, a_rows, r, a_taps, b, start, b_taps, 0, a_taps.size, c, to, pitch)
