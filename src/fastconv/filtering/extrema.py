"""Extrema over boxes and footprints as filters, whose arguments have been read.

Called by the extrema and the ranks of `fastconv.ndimage`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.execution.memory import empty
from fastconv.filtering import arguments as read
from fastconv.filtering import passes, sliding
from fastconv.filtering.blocks import PASS_BYTES, Reach, block, regions
from fastconv.filtering.casting import cast
from fastconv.filtering.folding import folded, shortened
from fastconv.filtering.missing import Missing, NanPolicy
from fastconv.filtering.network import MOST_PIXELS, extreme_steps, ranked_pictures
from fastconv.filtering.ordered import OrderFilter
from fastconv.filtering.pictures import KernelCall, as_pictures
from fastconv.typing import Array, BackendName


def box_filter(
    op: str,
    shape: tuple[int, ...],
    steps: Sequence[tuple[int, Reach]],
    cval: float,
    combine: np.ufunc,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> OrderFilter:
    """Extrema of boxes, along one axis after the other, as a filter of arrays of that shape."""
    steps = [(axis, shortened(shape[axis], each)) for axis, each in steps]
    reaches = [Reach()] * len(shape)
    for axis, each in steps:
        reaches[axis] = each

    def extrema(x: Array, out: Array, cval: float, combine: np.ufunc) -> KernelCall | None:
        given = [_Extreme(axis, each, cval, combine, backend) for axis, each in steps]
        return passes.run(x, out, given, pair=_two_extremes)

    return _filter(op, reaches, extrema, None, cval, combine, nan_policy, backend)


def footprint_filter(
    op: str,
    shape: tuple[int, ...],
    footprint: NDArray[np.bool_],
    heights: Array | None,
    reaches: Sequence[Reach],
    cval: float,
    combine: np.ufunc,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> OrderFilter:
    """Extrema over footprints, with heights or without, as a filter of arrays of that shape."""
    flat, reaches_flat = footprint, reaches
    folding = folded(shape, footprint, reaches)
    if folding is not None:
        flat, reaches_flat = folding.kernels[0] > 0, folding.reaches

    def extrema(x: Array, out: Array, cval: float, combine: np.ufunc) -> KernelCall | None:
        return _flat(x, out, flat, reaches_flat, cval, combine, backend)

    def raised(x: Array, out: Array, cval: float, missing: Missing | None, beyond: bool) -> None:
        assert heights is not None
        _raised(x, out, footprint, heights, reaches, cval, combine, missing, beyond)

    nbytes = footprint.nbytes + (0 if heights is None else heights.nbytes)
    if heights is not None:
        return _filter(op, reaches, extrema, raised, cval, combine, nan_policy, backend, nbytes)
    return _filter(op, reaches_flat, extrema, None, cval, combine, nan_policy, backend, nbytes)


def _filter(
    op: str,
    reaches: Sequence[Reach],
    extrema: Callable[[Array, Array, float, np.ufunc], KernelCall | None],
    raised: Callable[[Array, Array, float, Missing | None, bool], None] | None,
    cval: float,
    combine: np.ufunc,
    nan_policy: NanPolicy,
    backend: BackendName | None,
    nbytes: int = 0,
) -> OrderFilter:
    def run(x: Array, out: Array, cval: float) -> KernelCall | None:
        if raised is None:
            return extrema(x, out, cval, combine)
        raised(x, out, cval, None, False)
        return None

    def omit(x: Array, out: Array, cval: float, missing: Missing, beyond: bool) -> None:
        if raised is not None:
            raised(x, out, cval, missing, beyond)
            return
        last = worst(x.dtype, combine)
        extrema(np.where(missing, last, x), out, float(last) if beyond else cval, combine)

    def windows(missing: Missing, combine: np.ufunc, beyond: bool) -> Missing:
        result = empty(op, missing.shape, missing.dtype)
        extrema(missing, result, float(beyond), combine)
        return result

    return OrderFilter(op, reaches, run, omit, windows, cval, backend, nan_policy, nbytes)


def worst(dtype: np.dtype[Any], combine: np.ufunc) -> Any:
    """A number of that dtype that is the extremum only where there is no other one; a float has it, too."""
    if dtype.kind not in "iu":
        return dtype.type(
            combine is np.minimum if dtype.kind == "b" else np.inf if combine is np.minimum else -np.inf
        )
    info = np.iinfo(dtype)
    if combine is np.maximum:
        return dtype.type(info.min)
    return dtype.type(info.max if info.bits < 64 else np.nextafter(float(info.max), 0))


@dataclass(frozen=True)
class _Extreme:
    """The extrema along one axis as a pass."""

    axis: int
    reach: Reach
    cval: float
    combine: np.ufunc
    backend: BackendName | None

    def __call__(self, x: Array, out: Array) -> KernelCall | None:
        _check_types(x, out)
        reaches = [Reach()] * x.ndim
        reaches[self.axis] = self.reach
        call = _on_pictures(x, reaches, self.cval, out, self.combine, self.backend)
        if call is not None:
            return call
        with read.apart(x, out) as target:
            dtype = _block_dtype(x.dtype, out.dtype, reaches, self.cval)
            for region in regions(out.shape, [each.extent for each in reaches], dtype.itemsize, PASS_BYTES):
                window = block(x, reaches, region, self.cval, dtype)
                values = sliding.extrema(window, self.axis, self.reach.extent + 1, self.combine)
                target[region] = cast(values, out.dtype)
        return None


def _two_extremes(first: _Extreme, second: _Extreme, x: Array, out: Array) -> KernelCall | None:
    reaches = [Reach()] * x.ndim
    for each in (first, second):
        reaches[each.axis] = each.reach
    return _on_pictures(x, reaches, first.cval, out, first.combine, first.backend)


def _on_pictures(
    x: Array,
    reaches: Sequence[Reach],
    cval: float,
    out: Array,
    combine: np.ufunc,
    backend: BackendName | None,
) -> KernelCall | None:
    """The extrema of boxes in a single way through the array, where the backend has one."""
    if x.dtype != out.dtype or np.may_share_memory(x, out):
        return None
    if _block_dtype(x.dtype, out.dtype, reaches, cval) != x.dtype:
        return None
    pictures = as_pictures(x, out, reaches, cval, backend)
    if pictures is None:
        return None
    return pictures.call(pictures.filters.extrema, pictures.window, combine is np.maximum)


def _check_types(x: Array, out: Array) -> None:
    read.check_type(x.dtype)
    read.check_type(out.dtype)


def _block_dtype(
    dtype: np.dtype[Any], result: np.dtype[Any], reaches: Sequence[Reach], cval: float
) -> np.dtype[Any]:
    """That of the array, or float64 where it does not hold the constant that lies beyond, and the result shows it."""
    dtype = dtype.newbyteorder("=")
    if all(each.mode != "zeros" or not each.extent for each in reaches):
        return dtype
    if dtype.kind == "f" and result.newbyteorder("=") == dtype:
        return dtype
    with np.errstate(all="ignore"):
        held = float(cast(np.array(cval, np.float64), dtype))
    same = held == cval or (held != held and cval != cval)
    return dtype if same else np.dtype(np.float64)


def _flat(
    x: Array,
    out: Array,
    shape: NDArray[np.bool_],
    reaches: Sequence[Reach],
    cval: float,
    combine: np.ufunc,
    backend: BackendName | None,
) -> KernelCall | None:
    """Extrema over a footprint."""
    if not x.size:
        return None  # of any dtype, as in SciPy
    _check_types(x, out)
    dtype = x.dtype.newbyteorder("=")
    held = cast(np.array(cval, np.float64), dtype)[()]
    with read.apart(x, out) as target:
        call = None
        if np.count_nonzero(shape) <= MOST_PIXELS:
            steps = extreme_steps(shape, combine)
            call = ranked_pictures(x, shape, steps, reaches, held, target, backend)
        if call is None:
            for region in regions(out.shape, [each.extent for each in reaches], dtype.itemsize, PASS_BYTES):
                window = block(x, reaches, region, held, dtype)
                target[region] = cast(sliding.extrema_within(window, shape, combine), out.dtype)
    return call


def _raised(
    x: Array,
    out: Array,
    footprint: NDArray[np.bool_],
    heights: Array,
    reaches: Sequence[Reach],
    cval: float,
    combine: np.ufunc,
    missing: Missing | None,
    beyond: bool,
) -> None:
    """Dilation adds the heights before the maximum is taken, erosion takes them off before the minimum.

    As in SciPy, heights and sums have the dtype of `x`, so that those of integers are cut off and wrap, all but that of
    the window's first pixel.
    """
    if not x.size:
        return
    _check_types(x, out)
    dtype = x.dtype.newbyteorder("=")
    if dtype == np.bool_:
        dtype = np.dtype(np.uint8)
    held = cast(np.array(cval, np.float64), dtype)[()]
    heights = heights if combine is np.maximum else -heights
    steps, lowest = cast(heights, dtype), -np.inf if combine is np.maximum else np.inf
    with read.apart(x, out) as target:
        for region in regions(out.shape, [each.extent for each in reaches], dtype.itemsize, PASS_BYTES):
            window = block(x, reaches, region, held, dtype)
            gone = None if missing is None else block(missing, reaches, region, beyond, missing.dtype)
            result = None
            for corner in map(tuple, np.argwhere(footprint)):
                place = tuple(
                    slice(step, step + part.stop - part.start)
                    for step, part in zip(corner, region, strict=True)
                )
                with np.errstate(all="ignore"):
                    value = window[place] + (heights if result is None else steps)[corner]
                if gone is not None:
                    value = np.where(gone[place], lowest, value)
                result = value if result is None else combine(result, value, out=result)
            assert result is not None
            target[region] = cast(result, out.dtype)
