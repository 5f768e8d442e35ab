"""Weighted sums over windows with borders, in any dtype: computed in float32 or float64, cast as SciPy's are.

Called by the linear filters of `fastconv.ndimage` and the direct convolutions of `fastconv.signal`. SciPy sums in
float64, one product after the other, and cuts off what follows the point where the result is of integers. A sum in
another order can fall on the other side of an integer, so that sums next to one are computed again in SciPy's order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.filtering.blocks import Reach, block, regions
from fastconv.filtering.casting import cast
from fastconv.filtering.planes import correlate_block
from fastconv.typing import Array, BackendName

# A product: offsets into a window of the pixels that are added up first, their signs, and the weight.
Term = tuple[tuple[tuple[int, ...], ...], tuple[int, ...], float]
_EPSILON = float(np.finfo(np.float64).eps)
_MANY = 64  # one pixel in so many next to an integer: all sums are computed again, which is faster then
_PIECE = 1 << 16  # bytes of what is computed again at a time
_NEAR = 1 / 256  # how far from an integer sums of bytes in float32 may be doubted; else float64 is faster


def terms_nd(kernel: Array) -> list[Term]:
    """The products in the order of SciPy's filters of several axes, which leave out weights that are almost zero."""
    return [
        ((place,), (1,), float(weight)) for place, weight in np.ndenumerate(kernel) if abs(weight) > _EPSILON
    ]


def terms_1d(kernel: Array, axis: int) -> list[Term]:
    """The products in the order of SciPy's filters of one axis: both halves of a (anti)symmetric kernel together."""
    weights = kernel.ravel()
    count, half = weights.size, weights.size // 2

    def place(tap: int) -> tuple[int, ...]:
        return (0,) * axis + (tap,) + (0,) * (kernel.ndim - axis - 1)

    for sign in (1, -1):
        mirrored = weights[half + 1 :] - sign * weights[:half][::-1] if count % 2 else np.ones(1)
        if np.all(np.abs(mirrored) <= _EPSILON):
            pairs = [
                ((place(tap), place(count - 1 - tap)), (1, sign), float(weights[tap])) for tap in range(half)
            ]
            return [((place(half),), (1,), float(weights[half])), *pairs]
    return [((place(tap),), (1,), float(weights[tap])) for tap in (count - 1, *range(count - 1))]


def correlate(
    x: Array,
    kernel: Array,
    reaches: Sequence[Reach],
    cval: float,
    out: Array,
    terms: Sequence[Term],
    *,
    saturate: bool = False,
    backend: BackendName | None = None,
) -> None:
    """Put into `out` the sums over the windows of `x`, whose kernel has as many axes; they do not overlap in memory."""
    dtype = _sum_dtype(x.dtype, kernel, cval, out.dtype)
    check = out.dtype.kind in "biu" and not saturate and not _exact(x.dtype, kernel, cval, dtype)
    extents = [reach.extent for reach in reaches]
    for region in regions(out.shape, extents, dtype.itemsize):
        window = block(x, reaches, region, cval, dtype)
        sums = correlate_block(np.ascontiguousarray(window), kernel, backend)
        if check:
            sums = _in_order(window, sums, kernel, terms)
        out[region] = cast(sums, out.dtype, saturate)


def _largest(dtype: np.dtype[Any]) -> float:
    if dtype.kind == "b":
        return 1.0
    return float(2 ** (8 * dtype.itemsize - (dtype.kind == "i")))


def _exact(source: np.dtype[Any], kernel: Array, cval: float, dtype: np.dtype[Any]) -> bool:
    """Whether every sum is an integer that the dtype holds, in whatever order it is computed."""
    if source.kind not in "biu" or cval != int(cval if math.isfinite(cval) else 0):
        return False
    with np.errstate(all="ignore"):
        if not np.all(kernel == np.rint(kernel)):
            return False
        bound = float(np.abs(kernel).sum()) * max(_largest(source), abs(cval))
    return bound < 2.0 ** (24 if dtype == np.float32 else 53)


def _sum_dtype(source: np.dtype[Any], kernel: Array, cval: float, result: np.dtype[Any]) -> np.dtype[Any]:
    """Float32 where no more is asked for or where it is exact; float64 elsewhere, as SciPy."""
    narrow = np.dtype(np.float32)
    if result.kind == "f" and result.itemsize == 4 and np.result_type(source, narrow) == narrow:
        return narrow
    if result.kind in "biu" and _exact(source, kernel, cval, narrow):
        return narrow
    if result.kind in "biu" and source.kind in "biu" and source.itemsize == 1 and cval == np.float32(cval):
        with np.errstate(all="ignore"):
            doubt = _doubt(narrow, kernel, max(_largest(source), abs(cval)))
        return narrow if doubt < _NEAR else np.dtype(np.float64)
    return np.dtype(np.float64)


def _doubt(dtype: np.dtype[Any], kernel: Array, largest: float) -> float:
    """By how much a sum of such pixels may differ from the same in another order."""
    return float(np.finfo(dtype).eps) * largest * float(np.abs(kernel).sum()) * (kernel.size + 2)


def _in_order(window: Array, sums: Array, kernel: Array, terms: Sequence[Term]) -> Array:
    """`sums`, with those that lie next to an integer as they come out in SciPy's order, in float64."""
    with np.errstate(all="ignore"):
        doubtful = np.abs(sums - np.rint(sums)) <= _doubt(window.dtype, kernel, float(np.abs(window).max()))
        count = int(np.count_nonzero(doubtful))
        if not count:
            return sums
        if count * _MANY > sums.size:
            return _sum_terms(window, sums.shape, terms)
        places = np.unravel_index(np.flatnonzero(doubtful), doubtful.shape)
        exact = np.zeros(count)
        for offsets, signs, weight in terms:
            values = [
                window[tuple(place + step for place, step in zip(places, offset, strict=True))]
                for offset in offsets
            ]
            exact += _signed(values, signs) * weight
        sums = sums.astype(np.float64)
        sums[places] = exact
        return sums


def _sum_terms(window: Array, shape: tuple[int, ...], terms: Sequence[Term]) -> Array:
    total = np.zeros(shape)
    for region in regions(shape, [0] * len(shape), total.itemsize, _PIECE):
        target = total[region]
        for offsets, signs, weight in terms:
            values = [
                window[
                    tuple(
                        slice(part.start + step, part.stop + step)
                        for part, step in zip(region, offset, strict=True)
                    )
                ]
                for offset in offsets
            ]
            target += _signed(values, signs) * weight
    return total


def _signed(values: list[Array], signs: tuple[int, ...]) -> Array:
    """What a weight multiplies, in float64."""
    if len(values) == 1:
        return values[0].astype(np.float64, copy=False)
    combine = np.add if signs[1] > 0 else np.subtract
    return np.asarray(combine(*values, dtype=np.float64))
