"""Means of sliding windows: `uniform_filter`, `uniform_filter1d`."""

# pyright: reportAttributeAccessIssue=false
# It takes arrays that may be complex to have no parts.
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex

import numpy as np

from fastconv.execution.memory import empty
from fastconv.filtering import arguments as read
from fastconv.filtering import passes, sliding
from fastconv.filtering.application import LinearFilter
from fastconv.filtering.arguments import AxesLike, BorderName, ModeLike, OutputLike
from fastconv.filtering.blocks import PASS_BYTES, Reach, block, reach, regions
from fastconv.filtering.casting import cast
from fastconv.filtering.folding import counted
from fastconv.filtering.integers import is_looked_at, largest_seen
from fastconv.filtering.known import kept_filters
from fastconv.filtering.missing import NanPolicy
from fastconv.filtering.pictures import KernelCall, as_pictures, can_cut
from fastconv.progress import ProgressLike
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["uniform_filter", "uniform_filter1d"]


def uniform_filter1d(
    input: ArrayLike,
    size: SupportsIndex,
    axis: SupportsIndex = -1,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: complex = 0.0,
    origin: SupportsIndex = 0,
    *,
    saturate: bool = False,
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The mean of a sliding window along one axis.

    Parameters
    ----------
    input : array_like
    size : int
        Pixels of the window.
    axis, output, mode, cval, origin, saturate, nan_policy, progress, backend
        As for `correlate1d`.

    Returns
    -------
    ndarray

    Notes
    -----
    Windows are summed by halves, in a number of additions that grows with the logarithm of `size`. Unlike SciPy's
    running sum, neither rounding errors nor a NaN leave the windows that hold them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.uniform_filter1d(np.array([2, 8, 0, 4, 1, 9, 9, 0]), size=3)
    array([4, 3, 4, 1, 4, 6, 6, 3])
    """
    x = read.array(input)
    linear = _mean_along(x.ndim, size, axis, mode, cval, origin, saturate, nan_policy, backend)
    return linear.applied(x, output, progress)


@kept_filters
def _mean_along(
    ndim: int,
    size: SupportsIndex,
    axis: SupportsIndex,
    mode: BorderName,
    cval: complex,
    origin: SupportsIndex,
    saturate: bool,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> LinearFilter:
    """`uniform_filter1d` of arrays with so many axes."""
    shift, count, place = (
        read.integer(origin, "origin"), read.integer(size, "size"), read.check_axis(axis, ndim)
    )  # fmt: skip
    mean = _Mean(place, window_reach(count, mode, shift), cval, saturate, backend)
    return _mean_filter("uniform_filter1d", [mean], ndim, cval, nan_policy, saturate, backend)


def window_reach(size: SupportsIndex, mode: BorderName, origin: SupportsIndex) -> Reach:
    """How far a sliding window of so many pixels reaches."""
    count = read.integer(size, "size")
    if count < 1:
        raise RuntimeError(f"incorrect filter size: {size}, needs 1 at least")
    read.check_origin(origin, count)
    return reach(count, read.integer(origin, "origin"), read.border(mode))


def _means(
    x: Array,
    size: int,
    axis: int,
    reaches: list[Reach],
    cval: float,
    out: Array,
    saturate: bool,
    backend: BackendName | None,
) -> KernelCall | None:
    read.check_type(x.dtype)
    read.check_type(out.dtype)
    call = _on_pictures(x, (size,), reaches, cval, out, saturate, backend)
    if call is not None:
        return call
    dtype = _sum_dtype(x.dtype, size, cval, out.dtype)
    along, extras = counted(x.shape[axis], reaches[axis])

    def sums(region: tuple[slice, ...], each: Reach) -> Array:
        pixels = block(x, [*reaches[:axis], each, *reaches[axis + 1 :]], region, cval, dtype)
        return sliding.sums(pixels, axis, each.extent + 1)

    extents = [along.extent if i == axis else 0 for i in range(x.ndim)]
    for region in regions(out.shape, extents, dtype.itemsize, PASS_BYTES):
        with np.errstate(all="ignore"):
            total = sums(region, along)
            for times, pixel, each in extras:
                here = (*region[:axis], slice(pixel, pixel + 1), *region[axis + 1 :])
                total = total + dtype.type(times) * sums(here, each)
            out[region] = cast(total / dtype.type(size), out.dtype, saturate)
    return None


def _sum_dtype(source: np.dtype[Any], size: int, cval: float, result: np.dtype[Any]) -> np.dtype[Any]:
    narrow = np.result_type(source, np.float32) == np.float32 and cval == float(np.float32(cval))
    small = source.itemsize == 1 and cval == np.rint(cval) and max(abs(cval), 256) * size < 2**24
    # What is below 0 is a number of up to 2^32 between two axes where the result has no sign.
    held = result.kind in "bi" or (result.kind == "u" and result.itemsize <= 2)
    enough = result == np.float32 or (small and held)
    return np.dtype(np.float32 if narrow and enough else np.float64)


def _on_pictures(
    x: Array,
    sizes: tuple[int, ...],
    reaches: list[Reach],
    cval: float,
    out: Array,
    saturate: bool,
    backend: BackendName | None,
) -> KernelCall | None:
    """The means along one axis, or two, in a single way through the array, where the backend has one."""
    if out.dtype.kind in "biu" and (x.dtype.kind == "f" or abs(cval) >= 2**31):
        return None
    if out.dtype.kind == "b" and (saturate or len(sizes) > 1):
        return None  # what lies between two means is 0 or 1, too
    if any(counted(*each)[1] for each in zip(x.shape, reaches, strict=True)):
        return None
    pictures = (
        None if np.may_share_memory(x, out) else as_pictures(x, out, reaches, cval, backend, summed=True)
    )
    if pictures is None or (len(sizes) > 1 and None in pictures.axes):
        return None
    count = math.prod(sizes)
    if out.dtype.kind in "biu":
        largest = max(largest_seen(x), abs(cval)) * (count if x.dtype.itemsize > 2 else 1)
        if not can_cut(out.dtype, largest):
            return None
    whole = [count] if saturate else sizes
    dtype = max(_sum_dtype(x.dtype, size, cval, out.dtype) for size in whole)
    cut = out.dtype.kind in "biu" and not saturate
    if cut and len(sizes) > 1 and x.dtype != out.dtype:
        return None  # what lies between them is cut off to another dtype than the first one's
    between = out.dtype if cut or (out.dtype == np.float32 and dtype != np.float32) else None
    window = pictures.window._replace(between=between, saturate=saturate)
    return pictures.call(
        pictures.filters.means, window, dtype,
        boolean=out.dtype == np.bool_, again=out.dtype.kind not in "biu" or not is_looked_at(x.dtype),
    )  # fmt: skip


@dataclass(frozen=True)
class _Mean:
    """The means along one axis as a pass."""

    axis: int
    reach: Reach
    cval: complex
    saturate: bool
    backend: BackendName | None

    @property
    def size(self) -> int:
        return self.reach.extent + 1

    def __call__(self, x: Array, out: Array) -> KernelCall | None:
        reaches = [Reach()] * x.ndim
        reaches[self.axis] = self.reach
        with read.apart(x, out) as target:
            parts = [(x, target, self.cval)]
            if x.dtype.kind == "c":
                parts = [
                    (x.real, target.real, float(np.real(self.cval))),
                    (x.imag, target.imag, float(np.imag(self.cval))),
                ]
            calls = [
                _means(source, self.size, self.axis, reaches, float(cval), into, self.saturate, self.backend)  # type: ignore[arg-type]
                for source, into, cval in parts
            ]
        return calls[0] if len(calls) == 1 else None


def _mean_filter(
    op: str,
    means: Sequence[_Mean],
    ndim: int,
    cval: complex,
    nan_policy: NanPolicy,
    saturate: bool,
    backend: BackendName | None,
) -> LinearFilter:
    reaches = [Reach()] * ndim
    for each in means:
        reaches[each.axis] = each.reach

    def run(x: Array, out: Array, cval: complex) -> KernelCall | None:
        given = [each if each.cval is cval else replace(each, cval=cval) for each in means]
        count = math.prod(each.size for each in means)
        dtype = _exact_dtype(x, out.dtype, count, cval, reaches) if saturate and len(means) > 1 else None
        if dtype is None:
            between = passes.between(x.dtype, out.dtype, saturate)
            return passes.run(x, out, given, between, _two_means, saturate)
        call = _two_means(given[0], given[1], x, out) if len(given) == 2 else None
        if call is None:
            exact = empty(op, out.shape, dtype)
            passes.run(x, exact, given, None, _two_means)
            _round_means(exact, count, out)
        return call

    # As one weight each: what they sum to is all that counts here, and there may be millions of them.
    return LinearFilter(op, run, reaches, [np.ones(1)] * len(means), cval, backend, nan_policy, saturate)


def _exact_dtype(
    x: Array, result: np.dtype[Any], count: int, cval: complex, reaches: Sequence[Reach]
) -> np.dtype[Any] | None:
    """In which means tell the sums of `count` integers that they are of; None where there are none, or too large."""
    if x.dtype.kind not in "biu" or result.kind not in "iu":
        return None
    largest = 256.0**x.dtype.itemsize
    if any(each.mode == "zeros" and each.extent for each in reaches):
        if np.iscomplexobj(cval) or cval != np.rint(cval):
            return None
        largest = max(largest, abs(cval))
    for dtype, most in ((np.float32, 2.0**17), (np.float64, 2.0**46)):
        if largest * count <= most:
            return np.dtype(dtype)
    return None


def _round_means(means: Array, count: int, out: Array) -> None:
    """Means of `count` integers, rounded where their sums fall: those of one axis after the other may miss a tie."""
    number = means.dtype.type(count)
    for region in regions(out.shape, [0] * out.ndim, means.itemsize, PASS_BYTES):
        total = np.rint(means[region] * number)
        out[region] = cast(np.divide(total, number, out=total), out.dtype, True)


def _two_means(first: _Mean, second: _Mean, x: Array, out: Array) -> KernelCall | None:
    if "c" in x.dtype.kind + out.dtype.kind or np.iscomplexobj(first.cval) or second.axis - first.axis != 1:
        return None
    reaches = [Reach()] * x.ndim
    for each in (first, second):
        reaches[each.axis] = each.reach
    cval = float(np.real(first.cval))
    return _on_pictures(x, (first.size, second.size), reaches, cval, out, first.saturate, first.backend)


def uniform_filter(
    input: ArrayLike,
    size: int | Iterable[int] = 3,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: complex = 0.0,
    origin: int | Iterable[int] = 0,
    *,
    axes: AxesLike = None,
    saturate: bool = False,
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The mean of a sliding window along several axes.

    Parameters
    ----------
    input : array_like
    size, mode, origin : scalar or sequence
        As for `uniform_filter1d`; one value for all of `axes`, or one for each.
    output, cval, saturate, nan_policy, progress, backend
        As for `uniform_filter1d`.
    axes : int or sequence of int, optional
        Those along which the window extends; all by default.

    Returns
    -------
    ndarray

    Notes
    -----
    As in SciPy, what lies between two axes has the dtype of the result: integers are cut off after every axis. With
    ``saturate=True`` they are rounded once, at the end, and ties to even: those of integers of up to 32 bits in boxes
    of up to 2^14 pixels, with a whole `cval`, as of the exact sums.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.uniform_filter(np.arange(9.0).reshape(3, 3))[1]
    array([3.33333333, 4.        , 4.66666667])
    """
    x = read.array(input)
    linear = _mean_over(x.ndim, size, mode, cval, origin, axes, saturate, nan_policy, backend)
    return linear.applied(x, output, progress)


@kept_filters
def _mean_over(
    ndim: int,
    size: int | Iterable[int],
    mode: ModeLike,
    cval: complex,
    origin: int | Iterable[int],
    axes: AxesLike,
    saturate: bool,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> LinearFilter:
    """`uniform_filter` of arrays with so many axes."""
    places = read.check_axes(axes, ndim)
    given = [
        read.for_each(value, len(places), name)
        for value, name in ((size, "size"), (mode, "mode"), (origin, "origin"))
    ]
    for each in given[0]:
        read.check_real(each, "size")
    means = [
        _Mean(place, window_reach(int(size), mode, origin), cval, saturate, backend)
        for place, size, mode, origin in zip(places, *given, strict=True)
        if size > 1
    ]
    return _mean_filter("uniform_filter", means, ndim, cval, nan_policy, saturate, backend)
