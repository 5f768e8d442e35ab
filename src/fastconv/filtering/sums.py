"""Weighted sums over windows with borders, in any dtype: computed in float32 or float64, cast as SciPy's are.

Called by the linear filters of `fastconv.ndimage` and the direct convolutions of `fastconv.signal`. SciPy sums in
float64, one product after the other, and cuts off what follows the point where the result is of integers. A sum in
another order can fall on the other side of an integer, so that sums next to one are computed again in SciPy's order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv.filtering.blocks import Reach, block, regions
from fastconv.filtering.casting import cast
from fastconv.filtering.pictures import as_pictures
from fastconv.filtering.planes import as_dtype, correlate_block, correlate_whole
from fastconv.problem.filtering import Weights
from fastconv.typing import Array, BackendName, Precision

# A product: offsets into a window of the pixels that are added up first, their signs, and the weight.
Term = tuple[tuple[tuple[int, ...], ...], tuple[int, ...], float]
Terms = Callable[[], Sequence[Term]]  # asked for only where integers are cut off
_EPSILON = float(np.finfo(np.float64).eps)
_MANY = 64  # one pixel in so many next to an integer: all sums are computed again, which is faster then
_PIECE = 1 << 16  # bytes of what is computed again at a time
_MOST_TAPS = 400  # of a kernel whose products are added one by one; others may be transforms
_MOST_CUT = 2.0**31  # sums that a kernel cuts off as a C cast does
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
    terms: Terms,
    *,
    saturate: bool = False,
    backend: BackendName | None = None,
    precision: Precision = "strict",
) -> None:
    """Put into `out` the sums over the windows of `x`, whose kernel has as many axes; they do not overlap in memory."""
    dtype = _sum_dtype(x.dtype, kernel, cval, out.dtype)
    check = out.dtype.kind in "biu" and not saturate and not _exact(x.dtype, kernel, cval, dtype)
    if weigh_pictures(x, [Weighing(kernel, terms)], reaches, cval, out, saturate, backend):
        return
    gaps = x.dtype.kind == "f" and not kernel.all()
    if gaps and np.isfinite(x).all() and math.isfinite(cval):
        gaps = False
    if (
        dtype == x.dtype
        and not cval
        and not gaps
        and correlate_whole(x, kernel, reaches, out, backend, precision)
    ):
        return
    extents = [reach.extent for reach in reaches]
    for region in regions(out.shape, extents, dtype.itemsize):
        window = block(x, reaches, region, cval, dtype)
        sums = correlate_block(np.asarray(window, order="C"), kernel, backend, precision)
        if gaps:
            sums = _seen(window, sums, kernel, backend)
        if check:
            sums = _in_order(window, sums, kernel, terms())
        out[region] = cast(sums, out.dtype, saturate)


def _seen(window: Array, sums: Array, kernel: Array, backend: BackendName | None) -> Array:
    """A weight of 0 sees no pixel, whatever that is, as in the kernels of pictures: 0 times NaN would be NaN."""
    finite = np.isfinite(window)
    if finite.all():
        return sums
    seen = correlate_block((~finite).astype(window.dtype), (kernel != 0).astype(np.float64), backend) > 0.5
    clean = correlate_block(np.where(finite, window, window.dtype.type(0)), kernel, backend)
    return np.where(np.isfinite(sums) | seen, sums, clean)


class Weighing(NamedTuple):
    """A kernel with as many axes as the array, and its products in SciPy's order."""

    kernel: Array
    terms: Terms


def weigh_pictures(
    x: Array,
    kernels: Sequence[Weighing],
    reaches: Sequence[Reach],
    cval: float,
    out: Array,
    saturate: bool,
    backend: BackendName | None,
    whole: bool = False,
) -> bool:
    """The sums by one kernel, or by one along an axis and one along another, in a single way through the array.

    What lies between two kernels has the dtype of the result, as SciPy's, or where they are `whole`, lines of a single
    one, that of the sums. False where the backend has no such way, or none that does as SciPy.
    """
    if any(each.kernel.size > _MOST_TAPS for each in kernels) or np.may_share_memory(x, out):
        return False
    pictures = as_pictures(x, out, reaches, cval, backend)
    if pictures is None or (len(kernels) > 1 and None in pictures.axes):
        return False
    wide = np.dtype(np.float64)
    dtypes = [_sum_dtype(x.dtype, each.kernel, cval, out.dtype) for each in kernels]
    if saturate and len(kernels) > 1 and max(x.dtype.itemsize, out.dtype.itemsize) == 1:
        dtypes = [np.dtype(np.float32)]
    dtype = wide if wide in dtypes else dtypes[0]
    doubts = [-1.0] * len(kernels)
    between = None
    if out.dtype.kind in "biu":
        bound = max(_largest(x.dtype), abs(cval)) * math.prod(float(np.abs(k.kernel).sum()) for k in kernels)
        if out.dtype.kind == "b" or not bound < _MOST_CUT:
            return False
        if not saturate:
            if x.dtype.kind == "f" or (len(kernels) > 1 and (whole or x.dtype != out.dtype)):
                return False
            between = out.dtype
            for i, each in enumerate(kernels):
                if not _exact(x.dtype, each.kernel, cval, dtype):
                    doubts[i] = _doubt(dtype, each.kernel, max(_largest(x.dtype), abs(cval)))
    elif out.dtype != dtype and not whole:
        between = out.dtype
    row, pixel = pictures.axes
    if len(kernels) > 1 and row is not None and kernels[0].kernel.shape[row] == 1:
        if max(doubts) >= 0:
            return False  # what lies between is cut off, of the other order
        kernels = kernels[::-1]
    weights = [_weights(each, row, pixel, dtype, doubt) for each, doubt in zip(kernels, doubts, strict=True)]
    window = pictures.window._replace(between=between, saturate=saturate)
    return pictures.filters.sums(
        window, weights[0], weights[1] if len(weights) > 1 else None, pictures.x, pictures.out, dtype
    )


def _weights(
    each: Weighing, row: int | None, pixel: int | None, dtype: np.dtype[Any], doubt: float
) -> Weights:
    """A kernel of rows and pixels, and the order to sum in where `doubt` is not negative."""
    kernel, places, weights = as_dtype(each.kernel, dtype).astype(np.float64), [], []

    def place(offset: tuple[int, ...]) -> tuple[int, int]:
        return 0 if row is None else offset[row], 0 if pixel is None else offset[pixel]

    for offsets, signs, weight in each.terms() if doubt >= 0 else ():
        places.append((*place(offsets[0]), *place(offsets[-1]), signs[1] if len(signs) > 1 else 0))
        weights.append(weight)
    shape = (1 if row is None else kernel.shape[row], 1 if pixel is None else kernel.shape[pixel])
    order = np.array(places, np.int64).reshape(-1, 5)
    return Weights(np.ascontiguousarray(kernel.reshape(shape)), order, np.array(weights, np.float64), doubt)


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
        target = total[region] if shape else total
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
