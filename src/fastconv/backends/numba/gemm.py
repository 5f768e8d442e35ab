"""The matrix products that all convolutions end in: register tiles over operands that are gathered by tables.

A "tap" is one term of a convolution's sum (a channel and a place in the kernel). The operands are never rearranged
into matrices: `a_rows[row] + a_taps[tap]` and `column + b_taps[tap]` say where their elements are. NCHW
multiplies weights (a) by a row of pixels (b), NHWC pixels (a) by a row of weights (b).
"""

from __future__ import annotations

from typing import Any

from fastconv.backends.numba.compile import device
from fastconv.backends.numba.simd import make_tile

# 12 accumulators, 2 + 1 operands: fits 16 registers, and hides the latency of fused multiply-add.
TILE_ROWS, TILE_VECTORS = 6, 2
# One row against many pixels, for groups of one or two filters.
THIN_VECTORS = 4
# Pixels that share the weights of a vector of channels, in channel-wise products.
CHANNEL_ROWS = 4
# Taps at a time: as many rows of two vectors as half of a 32 KiB first-level cache holds.
_TAPS = 128

_tile = make_tile(TILE_ROWS, TILE_VECTORS, broadcast=True)
_thin = make_tile(1, THIN_VECTORS, broadcast=True)
_channels = make_tile(CHANNEL_ROWS, 1, broadcast=False)


@device
def multiply(
    a: Any, a_rows: Any, row: int, rows: int, a_taps: Any,
    b: Any, column: int, column_step: int, columns: int, b_taps: Any, width: int,
    c: Any, pitch: int,
) -> None:  # fmt: skip
    """Add the product of `rows` rows from `row` on and `columns` blocks of `width` lanes to `c` (rows, pitch)."""
    for first in range(0, a_taps.size, _TAPS):
        last = min(first + _TAPS, a_taps.size)
        for block in range(columns):
            start = column + block * column_step
            for r in range(0, rows, TILE_ROWS):
                _tile(a, a_rows, row + r, a_taps, b, start, b_taps, first, last, c, r * pitch + block * width, pitch)


@device
def multiply_thin(
    a: Any, a_rows: Any, row: int, rows: int, a_taps: Any,
    b: Any, column: int, columns: int, b_taps: Any, width: int,
    c: Any, pitch: int,
) -> None:  # fmt: skip
    """The same for few rows; `width` is that of `THIN_VECTORS` vectors."""
    for r in range(rows):
        for block in range(columns):
            start = block * width
            _thin(a, a_rows, row + r, a_taps, b, column + start, b_taps, 0, a_taps.size, c, r * pitch + start, pitch)


@device
def multiply_channels(
    a: Any, a_rows: Any, rows: int, a_taps: Any, b: Any, b_taps: Any, width: int, c: Any, pitch: int
) -> None:
    """Add ``a * b`` lane by lane: every channel has weights of its own."""
    for start in range(0, pitch, width):
        lanes = a[start:]
        for r in range(0, rows, CHANNEL_ROWS):
            _channels(lanes, a_rows, r, a_taps, b, start, b_taps, 0, a_taps.size, c, r * pitch + start, pitch)
