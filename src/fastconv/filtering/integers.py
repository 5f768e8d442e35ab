"""Convolutions of integers by sums of floats, to the last bit, wrapped as integers of their dtype are.

Called by the convolutions of `fastconv.signal`, and by the sums of filters where they are integers. Where float64 does
not hold every result exactly enough to be rounded to the integer that it is, both arrays are split into groups of their
bits: x = x0 + x1 2^b + ...
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastconv.execution.memory import empty
from fastconv.filtering.planes import TRANSFORMS, has_transforms, transform_error
from fastconv.typing import Array, BackendName

_SUM_BITS = 53.0  # of one product after the other
# Of fewer weights than the engine takes transforms for: it may do them with fewer multiplications, and three times the
# rounding error of a plain sum.
_FAST_SUM_BITS = 50.0
_PIECE = 1 << 15  # numbers that are rounded at a time


class Group(NamedTuple):
    """Neighbouring bits of an array, and of what lies beyond it; how far they are from the last."""

    x: Array
    fill: int
    shift: int


def bits_of_sums(taps: int, kernel: Array, shape: tuple[int, ...], backend: BackendName | None) -> float:
    """How many bits a product may have whose sums over so many taps, for a result of that shape, come out exactly."""
    if not has_transforms(backend) or kernel.size < TRANSFORMS:
        bits = _FAST_SUM_BITS if has_transforms(backend) else _SUM_BITS
        return bits - math.log2(taps)
    seen = math.prod(size + tap - 1 for size, tap in zip(shape, kernel.shape, strict=True))
    return bits_of_transforms(seen, kernel.size, seen)


def bits_of_transforms(size: int, taps: int, length: int) -> float:
    """The same of transforms of `length` numbers, for arrays of `size` and of `taps` numbers."""
    return -1 - math.log2(transform_error(size, taps, length))  # less than a half is rounded away


def convolve_integers(
    x: Array,
    kernel: Array,
    fill: int,
    bits: float,
    dtype: np.dtype[Any],
    convolve: Callable[[Array, Array, int], Array],
) -> Array:
    """``convolve(x, kernel, fill)``, which gives float64, for integers of any size.

    Parameters
    ----------
    fill : int
        What lies beyond `x`.
    bits : float
        How many of them a product may have for `convolve` to be off by less than half.
    dtype : dtype
        Of the result: an integer type, or float64, where no result is larger than that holds.
    """
    if math.log2(max(1, largest(x, fill) * largest(kernel))) <= bits:
        return _rounded(convolve(x, kernel, fill), dtype)
    # What differs by 2^64 is the same in the result.
    wide, taps = x.astype(np.int64), kernel.astype(np.int64)
    beyond = int(np.asarray(fill, dtype).astype(np.int64))
    widths = largest(wide, beyond).bit_length(), largest(taps).bit_length()
    sizes = _group_sizes(widths, int(bits))
    total: Array | None = None
    for group in _groups(wide, beyond, widths[0], sizes[0]):
        for weights in _groups(taps, 0, widths[1], sizes[1]):
            shift = group.shift + weights.shift
            if shift >= 8 * dtype.itemsize:
                continue
            part = _rounded(convolve(group.x, weights.x, group.fill), np.dtype(np.int64))
            part <<= shift
            total = part if total is None else np.add(total, part, out=total)
    assert total is not None  # no shift is in the first groups
    return total.astype(dtype)


def largest_seen(x: Array) -> float:
    """What no magnitude exceeds: of any array of the dtype, or of this one where that has 64 bits."""
    return float(largest(x)) if is_looked_at(x.dtype) else largest_of(x.dtype)


def is_looked_at(dtype: np.dtype[Any]) -> bool:
    """Does `largest_seen` depend on the numbers of an array?"""
    return dtype.kind in "iu" and dtype.itemsize == 8


def largest_of(dtype: np.dtype[Any]) -> float:
    if dtype.kind == "b":
        return 1.0
    return float(2 ** (8 * dtype.itemsize - (dtype.kind == "i")))


def largest(x: Array, fill: int = 0) -> int:
    return max(-int(x.min()), int(x.max()), abs(fill)) if x.size else abs(fill)


def _rounded(values: Array, dtype: np.dtype[Any]) -> Array:
    """As integers of 64 bits, which wrap, but never all of them at once."""
    result = empty("signal", values.shape, dtype)
    source, target = values.reshape(-1), result.reshape(-1)
    for start in range(0, source.size, _PIECE):
        piece = slice(start, start + _PIECE)
        target[piece] = np.rint(source[piece]).astype(np.int64)
    return result


def _group_sizes(widths: tuple[int, int], bits: int) -> tuple[int, int]:
    """Of how many bits groups of both arrays are, so that there are the fewest pairs of them."""
    pairs: dict[int, tuple[int, int]] = {}
    for first in range(1, bits):
        counts = [
            max(1, -(-width // size)) for width, size in zip(widths, (first, bits - first), strict=True)
        ]
        pairs.setdefault(counts[0] * counts[1], (first, bits - first))
    return pairs[min(pairs)]


def _groups(x: Array, fill: int, width: int, size: int) -> Iterator[Group]:
    """The last group has the sign."""
    for shift in range(0, max(1, width), size):
        last = shift + size >= width
        mask = -1 if last else (1 << size) - 1
        yield Group((x >> shift) & mask, (fill >> shift) & mask, shift)
