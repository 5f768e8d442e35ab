"""Weighted sums over windows with borders, in any dtype: computed in float32 or float64, cast as SciPy's are.

Called by the linear filters of `fastconv.ndimage` and the direct convolutions of `fastconv.signal`. SciPy sums in
float64, one product after the other, and cuts off what follows the point where the result is of integers. A sum in
another order can fall on the other side of an integer, so that sums next to one are computed again in SciPy's order.
"""

# pyright: reportAttributeAccessIssue=false
# It takes arrays that may be complex to have no parts.
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property, reduce
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.backends import resolve
from fastconv.execution.memory import empty
from fastconv.filtering import spectral
from fastconv.filtering.blocks import Reach, block, regions
from fastconv.filtering.casting import cast
from fastconv.filtering.folding import folded
from fastconv.filtering.integers import (
    bits_of_sums,
    bits_of_transforms,
    convolve_integers,
    is_looked_at,
    largest,
    largest_of,
    largest_seen,
)
from fastconv.filtering.pictures import KernelCall, as_pictures, can_cut
from fastconv.filtering.planes import (
    TRANSFORMS,
    as_dtype,
    correlate_block,
    correlate_whole,
    has_transforms,
)
from fastconv.problem.filtering import Weights
from fastconv.typing import Array, BackendName, Precision


class Terms(NamedTuple):
    """Products in the order in which SciPy adds them up.

    Each is the pixel at `first` in a window, plus that at `second` times `signs` where this is not 0, times its weight.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    signs: NDArray[np.intp]
    weights: Array


class _Order:
    """Terms that are made when they are first asked for: those of a large kernel take longer than its sums."""

    def __init__(self, make: Callable[[], Terms], places: Sequence[NDArray[np.int64]] | None) -> None:
        self._make, self._places = make, places

    @cached_property
    def terms(self) -> Terms:
        """Those of the kernel as it was given, laid on the pixels of the one that it was folded to."""
        terms = self._make()
        if self._places is None:
            return terms
        first, second = (
            np.stack([along[offsets[:, axis]] for axis, along in enumerate(self._places)], 1)
            for offsets in (terms.first, terms.second)
        )
        return terms._replace(first=first, second=second)


_EPSILON = float(np.finfo(np.float64).eps)
_MANY = 64  # one pixel in so many next to an integer: all sums are computed again, which is faster then
_PIECE = 1 << 16  # bytes of what is computed again at a time, where that is all
_FEW_WINDOWS = 1 << 22  # bytes of windows whose sums are computed again at a time
_MOST_TAPS = 400  # of a kernel whose products are added one by one; others may be transforms
_MOST_WHOLE = 2.0**53  # integers below are float64, each of them
_NEAR = 1 / 256  # how far from an integer sums of bytes in float32 may be doubted; else float64 is faster


def terms_nd(kernel: Array) -> Terms:
    """Those of SciPy's filters of several axes, which leave out weights that are almost zero."""
    seen = np.abs(kernel) > _EPSILON
    places = np.argwhere(seen)
    return Terms(places, places, np.zeros(len(places), np.intp), kernel[seen])


def terms_1d(kernel: Array, axis: int) -> Terms:
    """Those of SciPy's filters of one axis: both halves of a (anti)symmetric kernel together."""
    weights = kernel.ravel()
    count, half = weights.size, weights.size // 2
    first = second = np.array([count - 1, *range(count - 1)])
    signs = np.zeros(count, np.intp)
    for sign in (1, -1) if count % 2 else ():
        if np.all(np.abs(weights[half + 1 :] - sign * weights[:half][::-1]) <= _EPSILON):
            first, signs = np.array([half, *range(half)]), np.array([0, *[sign] * half])
            second = count - 1 - first
            break
    along = np.arange(kernel.ndim) == axis
    return Terms(first[:, None] * along, second[:, None] * along, signs, weights[first])


def correlate(
    x: Array,
    kernel: Array,
    reaches: Sequence[Reach],
    cval: float,
    out: Array,
    terms: Callable[[], Terms],
    *,
    saturate: bool = False,
    backend: BackendName | None = None,
    precision: Precision = "strict",
) -> KernelCall | None:
    """Put into `out` the sums over the windows of `x`, whose kernel has as many axes; they do not overlap in memory.

    Returns the call of a kernel that did it, where there was one.
    """
    call = weigh_pictures(x, [Weighing(kernel, terms)], reaches, cval, out, saturate, backend)
    if call is not None:
        return call
    dtype = _sum_dtype(x.dtype, kernel, cval, out.dtype)
    check = out.dtype.kind in "biu" and not saturate and not _exact(x.dtype, kernel, cval, dtype)
    kernels, places = [kernel], None
    if x.shape == out.shape:  # else windows do not lie around the pixels
        folding = folded(x.shape, kernel, reaches)
        if folding is not None:
            kernels, reaches, places = folding
    # Of integers the sums are some, too, in whatever order, up to a size that those of a block may keep to.
    whole = out.dtype.kind in "biu" and not saturate and _whole(x.dtype, kernel, cval)
    transformed = whole and not check and kernels[0].size >= TRANSFORMS
    if transformed:
        dtype = np.dtype(np.float64)
    gaps = x.dtype.kind == "f" and not all(each.all() for each in kernels)
    if gaps and np.isfinite(x).all() and math.isfinite(cval):
        gaps = False
    if (
        dtype == x.dtype
        and not cval
        and not gaps
        and len(kernels) == 1
        and correlate_whole(x, kernels[0], reaches, out, backend, precision)
    ):
        return None
    extents = [reach.extent for reach in reaches]
    order = _Order(terms, places)
    for region in regions(out.shape, extents, dtype.itemsize):
        window = block(x, reaches, region, cval, dtype)
        if transformed or (whole and check and largest(window) * float(np.abs(kernel).sum()) < _MOST_WHOLE):
            sums = reduce(np.add, [_integers(window, each, backend, precision) for each in kernels])
        else:
            parts = []
            for each in kernels:
                part = correlate_block(np.asarray(window, order="C"), each, backend, precision)
                parts.append(_seen(window, part, each, backend) if gaps else part)
            with np.errstate(invalid="ignore"):
                sums = reduce(np.add, parts)
            if check:
                sums = _in_order(window, sums, kernel, order)
        out[region] = cast(sums, out.dtype, saturate)
    return None


def by_parts(
    part: Callable[[Array, Array, Array, float], object], x: Array, kernel: Array, out: Array, cval: complex
) -> None:
    """Sums of complex numbers from those of their parts, which ``part(x, kernel, out, cval)`` gives.

    Two where only one of both is complex, else four.
    """
    values = [(x.real, float(np.real(cval)))]
    if x.dtype.kind == "c" or np.imag(cval):
        values.append((x.imag, float(np.imag(cval))))
    weights = [kernel.real, kernel.imag] if kernel.dtype.kind == "c" else [kernel]
    begun = set()
    for i, (numbers, beyond) in enumerate(values):
        for j, each in enumerate(weights):
            target = out.imag if i + j == 1 else out.real
            if i + j in begun or i + j == 2:
                term = empty("filter", out.shape, target.dtype)
                part(numbers, each, term, beyond)
                (np.subtract if i + j == 2 else np.add)(target, term, out=target)
            else:
                part(numbers, each, target, beyond)
            begun.add(i + j)


def _seen(window: Array, sums: Array, kernel: Array, backend: BackendName | None) -> Array:
    """A weight of 0 sees no pixel, whatever that is, as in the kernels of pictures: 0 times NaN would be NaN."""
    finite = np.isfinite(window)
    if finite.all():
        return sums
    seen = correlate_block((~finite).astype(window.dtype), (kernel != 0).astype(np.float64), backend) > 0.5
    clean = correlate_block(np.where(finite, window, window.dtype.type(0)), kernel, backend)
    return np.where(np.isfinite(sums) | seen, sums, clean)


class Weighing(NamedTuple):
    """A kernel with as many axes as the array, and its products in SciPy's order, for where integers are cut off."""

    kernel: Array
    terms: Callable[[], Terms]


def weigh_pictures(
    x: Array,
    kernels: Sequence[Weighing],
    reaches: Sequence[Reach],
    cval: float,
    out: Array,
    saturate: bool,
    backend: BackendName | None,
    whole: bool = False,
) -> KernelCall | None:
    """The sums by one kernel, or by one along an axis and one along another, in a single way through the array.

    What lies between two kernels has the dtype of the result, as SciPy's, or where they are `whole`, lines of a single
    one, that of the sums. None where the backend has no such way, or none that does as SciPy.
    """
    if any(each.kernel.size > _MOST_TAPS for each in kernels) or np.may_share_memory(x, out):
        return None
    pictures = as_pictures(x, out, reaches, cval, backend, summed=True)
    if pictures is None or (len(kernels) > 1 and None in pictures.axes):
        return None
    wide = np.dtype(np.float64)
    dtypes = [_sum_dtype(x.dtype, each.kernel, cval, out.dtype) for each in kernels]
    if saturate and len(kernels) > 1 and max(x.dtype.itemsize, out.dtype.itemsize) == 1:
        dtypes = [np.dtype(np.float32)]
    large = out.dtype.kind in "iu" and out.dtype.itemsize > 2
    dtype = wide if large or wide in dtypes else dtypes[0]
    doubts = [-1.0] * len(kernels)
    between = None
    if out.dtype.kind in "biu":
        if x.dtype.kind == "f" and (large or not saturate):
            return None
        if out.dtype.kind == "b" and (saturate or len(kernels) > 1):
            return None  # what lies between two kernels is 0 or 1, too
        if not saturate:
            if len(kernels) > 1 and (whole or x.dtype != out.dtype):
                return None
            between = out.dtype
        seen = max(largest_seen(x), abs(cval))
        for i, each in enumerate(kernels):
            made = seen * float(np.abs(each.kernel).sum())
            if not can_cut(out.dtype, made):
                return None
            if not saturate and not _exact(x.dtype, each.kernel, cval, dtype, seen):
                doubts[i] = _doubt(dtype, each.kernel, seen)
            if saturate or x.dtype.itemsize == 8:  # others keep to their type between two kernels
                seen = max(made, abs(cval))
    elif out.dtype != dtype and not whole:
        between = out.dtype
    row, pixel = pictures.axes
    weights = [_weights(each, row, pixel, dtype, doubt) for each, doubt in zip(kernels, doubts, strict=True)]
    window = pictures.window._replace(between=between, saturate=saturate)
    second = weights[1] if len(weights) > 1 else None
    return pictures.call(
        pictures.filters.sums, window, weights[0], second, dtype,
        boolean=out.dtype == np.bool_, again=out.dtype.kind not in "biu" or not is_looked_at(x.dtype),
    )  # fmt: skip


def _weights(
    each: Weighing, row: int | None, pixel: int | None, dtype: np.dtype[Any], doubt: float
) -> Weights:
    """A kernel of rows and pixels, and the order to sum in where `doubt` is not negative."""
    kernel = as_dtype(each.kernel, dtype).astype(np.float64)
    shape = (1 if row is None else kernel.shape[row], 1 if pixel is None else kernel.shape[pixel])
    order, weights = np.zeros((0, 5), np.int64), np.zeros(0)
    if doubt >= 0:
        terms = each.terms()
        order = np.zeros((len(terms.weights), 5), np.int64)
        for column, (offsets, axis) in enumerate(product((terms.first, terms.second), (row, pixel))):
            if axis is not None:
                order[:, column] = offsets[:, axis]
        order[:, 4], weights = terms.signs, np.ascontiguousarray(terms.weights, np.float64)
    return Weights(np.ascontiguousarray(kernel.reshape(shape)), order, weights, doubt)


def _exact(
    source: np.dtype[Any], kernel: Array, cval: float, dtype: np.dtype[Any], seen: float | None = None
) -> bool:
    """Whether every sum of pixels up to `seen` is an integer that the dtype holds, in whatever order."""
    if not _whole(source, kernel, cval):
        return False
    bound = float(np.abs(kernel).sum()) * (max(largest_of(source), abs(cval)) if seen is None else seen)
    return bound < (2.0**24 if dtype == np.float32 else _MOST_WHOLE)


def _whole(source: np.dtype[Any], kernel: Array, cval: float) -> bool:
    """Whether every product is an integer."""
    return source.kind in "biu" and float(cval).is_integer() and bool(np.all(kernel == np.rint(kernel)))


def _sum_dtype(source: np.dtype[Any], kernel: Array, cval: float, result: np.dtype[Any]) -> np.dtype[Any]:
    """Float32 where no more is asked for or where it is exact; float64 elsewhere, as SciPy."""
    narrow = np.dtype(np.float32)
    if result.kind == "f" and result.itemsize == 4 and np.result_type(source, narrow) == narrow:
        return narrow
    if result.kind in "biu" and _exact(source, kernel, cval, narrow):
        return narrow
    if (
        result.kind in "biu"
        and source.kind in "biu"
        and source.itemsize == 1
        and cval == float(np.float32(cval))
    ):
        with np.errstate(all="ignore"):
            doubt = _doubt(narrow, kernel, max(largest_of(source), abs(cval)))
        return narrow if doubt < _NEAR else np.dtype(np.float64)
    return np.dtype(np.float64)


def _doubt(dtype: np.dtype[Any], kernel: Array, largest: float) -> float:
    """By how much a sum of such pixels may differ from the same in another order."""
    return float(np.finfo(dtype).eps) * largest * float(np.abs(kernel).sum()) * (kernel.size + 2)


def _integers(window: Array, kernel: Array, backend: BackendName | None, precision: Precision) -> Array:
    """Sums that are integers, without what rounding adds and a cast would cut off."""
    shape = tuple(size - taps + 1 for size, taps in zip(window.shape, kernel.shape, strict=True))
    direct = has_transforms(backend) or kernel.size <= spectral.MOST_WEIGHTS[resolve("filter", backend).name]
    if direct:
        bits = bits_of_sums(kernel.size, kernel, shape, backend)
    else:
        bits = bits_of_transforms(window.size, kernel.size, window.size)

    def correlate(part: Array, weights: Array, _: int) -> Array:
        part, weights = np.asarray(part, np.float64, order="C"), weights.astype(np.float64, copy=False)
        if direct:
            return correlate_block(part, weights, backend, precision)
        within = tuple(slice(taps - 1, size) for taps, size in zip(kernel.shape, window.shape, strict=True))
        return spectral.convolve(part, np.flip(weights), range(part.ndim))[within]

    return convolve_integers(window, kernel, 0, bits, np.dtype(np.float64), correlate)


def _in_order(window: Array, sums: Array, kernel: Array, order: _Order) -> Array:
    """`sums`, with those that lie next to an integer as they come out in SciPy's order, in float64."""
    with np.errstate(all="ignore"):
        sizes = np.abs(window)
        largest = float(sizes.max())
        if np.isnan(largest):  # sums that hold one are not doubted; others are, as far as their own pixels go
            largest = float(np.fmax.reduce(sizes, axis=None, initial=0.0))
        doubtful = np.abs(sums - np.rint(sums)) <= _doubt(window.dtype, kernel, largest)
        count = int(np.count_nonzero(doubtful))
        if not count:
            return sums
        if count * _MANY > sums.size:
            return _sum_all_terms(window, sums.shape, order.terms)
        sums = sums.astype(np.float64)
        sums[doubtful] = _sum_terms_at(window, np.argwhere(doubtful), order.terms)
        return sums


def _sum_terms_at(window: Array, places: NDArray[np.intp], terms: Terms) -> Array:
    """The sums of the windows that begin at these places."""
    exact = np.zeros(len(places))
    if not terms.weights.size:
        return exact
    flat = window.ravel()
    steps = np.array([math.prod(window.shape[axis + 1 :]) for axis in range(window.ndim)], np.intp)
    starts, first = places @ steps, terms.first @ steps
    paired = terms.signs != 0
    second, signs = (terms.second @ steps)[paired], terms.signs[paired]
    count = max(1, _FEW_WINDOWS // (8 * first.size))
    for start in range(0, starts.size, count):
        corners = starts[start : start + count, None]
        values = flat[corners + first].astype(np.float64, copy=False)
        values[:, paired] += signs * flat[corners + second].astype(np.float64, copy=False)
        values *= terms.weights
        exact[start : start + count] = np.add.accumulate(values, axis=1)[:, -1]  # one after the other
    return exact


def _sum_all_terms(window: Array, shape: tuple[int, ...], terms: Terms) -> Array:
    """The sums of all windows, pixel by pixel or term by term: whichever takes fewer steps."""
    if math.prod(shape) < terms.weights.size:
        return _sum_terms_at(window, np.indices(shape).reshape(len(shape), -1).T, terms).reshape(shape)
    total = np.zeros(shape)
    for region in regions(shape, [0] * len(shape), total.itemsize, _PIECE):
        target = total[region] if shape else total

        def seen(offset: NDArray[np.intp], region: tuple[slice, ...] = region) -> Array:
            places = (
                slice(part.start + step, part.stop + step) for part, step in zip(region, offset, strict=True)
            )
            return window[tuple(places)].astype(np.float64, copy=False)

        for first, second, sign, weight in zip(*terms, strict=True):
            values = seen(first)
            if sign:
                values = values + seen(second) if sign > 0 else values - seen(second)
            target += values * weight
    return total
