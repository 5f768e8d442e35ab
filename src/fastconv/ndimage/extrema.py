"""Maxima and minima of sliding windows: `maximum_filter`, `minimum_filter`, and along one axis."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from fastconv.execution.memory import empty
from fastconv.filtering import arguments as read
from fastconv.filtering import passes, sliding
from fastconv.filtering.arguments import AxesLike, BorderName, ModeLike, OutputLike, SizeLike
from fastconv.filtering.blocks import PASS_BYTES, Reach, block, reach, regions
from fastconv.filtering.casting import cast
from fastconv.filtering.network import MOST_PIXELS, extreme_steps, ranked_pictures
from fastconv.filtering.ordered import first_reach, window_slabs
from fastconv.filtering.parts import wants_parts
from fastconv.filtering.pictures import as_pictures
from fastconv.ndimage.means import read_window
from fastconv.progress import ProgressLike
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["maximum_filter", "maximum_filter1d", "minimum_filter", "minimum_filter1d"]


def minimum_filter1d(
    input: ArrayLike,
    size: SupportsIndex,
    axis: SupportsIndex = -1,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: float = 0.0,
    origin: SupportsIndex = 0,
    *,
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The smallest pixel of a sliding window along one axis.

    Parameters
    ----------
    input : array_like
    size : int
        Pixels of the window.
    axis, output, mode, cval, origin, progress, backend
        As for `correlate1d`.

    Returns
    -------
    ndarray

    Notes
    -----
    The time grows with the logarithm of `size`. A NaN reaches the windows that hold it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.minimum_filter1d(np.array([2, 8, 0, 4, 1, 9, 9, 0]), size=3)
    array([2, 0, 0, 0, 1, 1, 0, 0])
    """
    return _along(input, size, axis, output, mode, cval, origin, np.minimum, backend, progress)


def maximum_filter1d(
    input: ArrayLike,
    size: SupportsIndex,
    axis: SupportsIndex = -1,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: float = 0.0,
    origin: SupportsIndex = 0,
    *,
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The largest pixel of a sliding window along one axis.

    Parameters
    ----------
    input, size, axis, output, mode, cval, origin, progress, backend
        As for `minimum_filter1d`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.maximum_filter1d(np.array([2, 8, 0, 4, 1, 9, 9, 0]), size=3)
    array([8, 8, 8, 4, 9, 9, 9, 9])
    """
    return _along(input, size, axis, output, mode, cval, origin, np.maximum, backend, progress)


def minimum_filter(
    input: ArrayLike,
    size: SizeLike = None,
    footprint: ArrayLike | None = None,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: float = 0.0,
    origin: int | Iterable[int] = 0,
    *,
    axes: AxesLike = None,
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The smallest pixel of a sliding window.

    Parameters
    ----------
    input : array_like
    size : int or sequence of int, optional
        Pixels of the window along each of `axes`.
    footprint : array_like of bool, optional
        The pixels of the window, if it is not a box; `size` is then not looked at.
    output, cval, progress, backend
        As for `correlate1d`.
    mode, origin : scalar or sequence
        As for `correlate1d`; one value for all of `axes`, or, where the window is a box, one for each.
    axes : int or sequence of int, optional
        Those along which the window extends; all by default.

    Returns
    -------
    ndarray

    Notes
    -----
    The time of boxes grows with the logarithm of their size, that of footprints with the number of their rows.
    A NaN reaches the windows that hold it; in SciPy that depends on where it stands in them. So does a masked pixel,
    and the result is masked there.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.minimum_filter(np.arange(9).reshape(3, 3), footprint=[[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    array([[0, 0, 1],
           [0, 1, 2],
           [3, 4, 5]])
    """
    return extreme_filter(
        input, size, footprint, None, output, mode, cval, origin, np.minimum, axes, backend, progress
    )


def maximum_filter(
    input: ArrayLike,
    size: SizeLike = None,
    footprint: ArrayLike | None = None,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: float = 0.0,
    origin: int | Iterable[int] = 0,
    *,
    axes: AxesLike = None,
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The largest pixel of a sliding window.

    Parameters
    ----------
    input, size, footprint, output, mode, cval, origin, axes, progress, backend
        As for `minimum_filter`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.maximum_filter(np.arange(9).reshape(3, 3), size=2)
    array([[0, 1, 2],
           [3, 4, 5],
           [6, 7, 8]])
    """
    return extreme_filter(
        input, size, footprint, None, output, mode, cval, origin, np.maximum, axes, backend, progress
    )


def _along(
    input: ArrayLike,
    size: SupportsIndex,
    axis: SupportsIndex,
    output: OutputLike,
    mode: BorderName,
    cval: float,
    origin: SupportsIndex,
    combine: np.ufunc,
    backend: BackendName | None,
    progress: ProgressLike | None = None,
) -> Array:
    array = read.array(input)
    if wants_parts(array, output, progress):

        def run(x: Array, out: Array) -> Array:
            return _along_whole(x, size, axis, out, mode, cval, origin, combine, backend)

        first = read_window(array, size, axis, mode, origin)[3][0]
        return window_slabs("ndimage", run, first, array, output, progress)
    return _along_whole(array, size, axis, output, mode, cval, origin, combine, backend)


def _along_whole(
    input: ArrayLike,
    size: SupportsIndex,
    axis: SupportsIndex,
    output: OutputLike,
    mode: BorderName,
    cval: float,
    origin: SupportsIndex,
    combine: np.ufunc,
    backend: BackendName | None,
) -> Array:
    if isinstance(input, np.ma.MaskedArray):
        data, masked = np.ma.getdata(input), np.ma.getmaskarray(input)
        result = _along_whole(data, size, axis, output, mode, cval, origin, combine, backend)
        mask = _along_whole(masked, size, axis, None, mode, 0.0, origin, np.maximum, backend)
        return read.with_mask(result, mask, output)
    x, place, count, reaches = read_window(read.real(input), size, axis, mode, origin)
    out = read.result_array(output, x)
    _check_types(x, out)
    if _on_pictures(x, reaches, cval, out, combine, backend):
        return out
    target = empty("ndimage", out.shape, out.dtype) if np.may_share_memory(x, out) else out
    dtype = _block_dtype(x.dtype, reaches, cval)
    for region in regions(out.shape, [each.extent for each in reaches], dtype.itemsize, PASS_BYTES):
        window = block(x, reaches, region, cval, dtype)
        target[region] = cast(sliding.extrema(window, place, count, combine), out.dtype)
    if target is not out:
        out[...] = target
    return out


def _on_pictures(
    x: Array, reaches: list[Reach], cval: float, out: Array, combine: np.ufunc, backend: BackendName | None
) -> bool:
    """The extrema of boxes in a single way through the array, where the backend has one."""
    if x.dtype != out.dtype or _block_dtype(x.dtype, reaches, cval) != x.dtype or np.may_share_memory(x, out):
        return False
    pictures = as_pictures(x, out, reaches, cval, backend)
    if pictures is None:
        return False
    pictures.filters.extrema(pictures.window, combine is np.maximum, pictures.x, pictures.out)
    return True


@dataclass(frozen=True)
class _Extreme:
    """The extrema along one axis as a pass."""

    size: int
    axis: int
    mode: BorderName
    cval: float
    origin: int
    combine: np.ufunc
    backend: BackendName | None

    def __call__(self, x: Array, out: Array) -> None:
        _along_whole(
            x, self.size, self.axis, out, self.mode, self.cval, self.origin, self.combine, self.backend
        )


def _two_extremes(first: _Extreme, second: _Extreme, x: Array, out: Array) -> bool:
    reaches = [Reach()] * x.ndim
    for each in (first, second):
        reaches[each.axis] = read_window(x, each.size, each.axis, each.mode, each.origin)[3][each.axis]
    return _on_pictures(x, reaches, first.cval, out, first.combine, first.backend)


def _check_types(x: Array, out: Array) -> None:
    read.check_type(x.dtype)
    read.check_type(out.dtype)


def _block_dtype(dtype: np.dtype[Any], reaches: Sequence[Reach], cval: float) -> np.dtype[Any]:
    """That of the array, or float64 where it does not hold the constant that lies beyond."""
    dtype = dtype.newbyteorder("=")
    if all(each.mode != "zeros" or not each.extent for each in reaches):
        return dtype
    with np.errstate(all="ignore"):
        held = cast(np.array(cval, np.float64), dtype)
    same = held == cval or (held != held and cval != cval)
    return dtype if same else np.dtype(np.float64)


def extreme_filter(
    input: ArrayLike,
    size: SizeLike,
    footprint: ArrayLike | None,
    structure: ArrayLike | None,
    output: OutputLike,
    mode: ModeLike,
    cval: float,
    origin: int | Iterable[int],
    combine: np.ufunc,
    axes: AxesLike,
    backend: BackendName | None = None,
    progress: ProgressLike | None = None,
) -> Array:
    """Maxima or minima over a box, a footprint, or a footprint with heights that are added or taken off."""
    array = read.array(input)

    def run(x: Array, out: OutputLike) -> Array:
        return _extreme_whole(x, size, footprint, structure, out, mode, cval, origin, combine, axes, backend)

    if not wants_parts(array, output, progress):
        return run(array, output)
    window = structure if footprint is None else footprint
    first = first_reach(array.ndim, size, window, mode, origin, axes)
    return window_slabs("ndimage", run, first, array, output, progress)


def _extreme_whole(
    input: ArrayLike,
    size: SizeLike,
    footprint: ArrayLike | None,
    structure: ArrayLike | None,
    output: OutputLike,
    mode: ModeLike,
    cval: float,
    origin: int | Iterable[int],
    combine: np.ufunc,
    axes: AxesLike,
    backend: BackendName | None,
) -> Array:
    if isinstance(input, np.ma.MaskedArray):
        result = _extreme_whole(
            np.ma.getdata(input),
            size,
            footprint,
            structure,
            output,
            mode,
            cval,
            origin,
            combine,
            axes,
            backend,
        )
        flat = footprint
        if footprint is None and structure is not None:
            flat = np.ones_like(np.asarray(structure), bool)
        return read.with_mask(result, masked_windows(input, size, flat, mode, origin, axes, backend), output)
    if size is not None and footprint is not None:
        warnings.warn("ignoring size because footprint is set", UserWarning, stacklevel=3)
    shape: NDArray[np.bool_] | None = None
    heights: Array | None = None
    if footprint is not None:
        shape = np.asarray(footprint, bool)
    if structure is not None:
        heights = np.asarray(structure, np.float64)
        shape = np.ones(heights.shape, bool) if shape is None else shape
    elif shape is None and size is None:
        raise RuntimeError("no footprint provided: needs size or footprint")
    elif shape is not None:
        if not shape.any():
            raise ValueError("All-zero footprint is not supported.")
        if shape.all():
            size, shape = shape.shape, None
    x = read.real(input)
    out = read.result_array(output, x)
    places = read.check_axes(axes, x.ndim)
    if shape is None:
        assert size is not None
        return _box(x, size, out, mode, cval, origin, combine, places, backend)
    shape = read.widen(shape, places, x.ndim)
    if heights is not None:
        if heights.ndim != len(places):
            raise RuntimeError(
                f"structure array has incorrect shape: {heights.ndim} axes, needs {len(places)}"
            )
        heights = read.widen(heights, places, x.ndim, "structure")
        if heights.shape != shape.shape:
            raise RuntimeError(f"structure has shape {heights.shape}, but footprint has {shape.shape}")
    origins = read.spread(read.for_each(origin, len(places), "origin"), places, x.ndim, 0)
    for shift, pixels in zip(origins, shape.shape, strict=True):
        read.check_origin(shift, pixels)
    border = read.one_border(mode)
    reaches = [reach(pixels, shift, border) for pixels, shift in zip(shape.shape, origins, strict=True)]
    _check_types(x, out)
    target = empty("ndimage", out.shape, out.dtype) if np.may_share_memory(x, out) else out
    dtype = x.dtype.newbyteorder("=")
    if heights is not None and dtype == np.bool_:
        dtype = np.dtype(np.uint8)
    held = cast(np.array(cval, np.float64), dtype)[()]
    few = heights is None and np.count_nonzero(shape) <= MOST_PIXELS
    if few and ranked_pictures(x, shape, extreme_steps(shape, combine), reaches, held, target, backend):
        return _moved(target, out)
    for region in regions(out.shape, [each.extent for each in reaches], dtype.itemsize, PASS_BYTES):
        window = block(x, reaches, region, held, dtype)
        if heights is None:
            values = sliding.extrema_within(window, shape, combine)
        else:
            values = _with_heights(window, shape, heights, combine)
        target[region] = cast(values, out.dtype)
    return _moved(target, out)


def masked_windows(
    x: Array,
    size: SizeLike,
    footprint: ArrayLike | None,
    mode: ModeLike,
    origin: int | Iterable[int],
    axes: AxesLike,
    backend: BackendName | None,
) -> Array:
    """Of which pixels the window holds a masked one."""
    size = size if footprint is None else None
    mask = np.ma.getmaskarray(x)
    return extreme_filter(mask, size, footprint, None, None, mode, 0.0, origin, np.maximum, axes, backend)


def _moved(result: Array, out: Array) -> Array:
    if result is not out:
        out[...] = result
    return out


def _box(
    x: Array,
    size: int | Iterable[int],
    out: Array,
    mode: ModeLike,
    cval: float,
    origin: int | Iterable[int],
    combine: np.ufunc,
    places: tuple[int, ...],
    backend: BackendName | None,
) -> Array:
    given = [
        read.for_each(value, len(places), name)
        for value, name in ((size, "size"), (mode, "mode"), (origin, "origin"))
    ]

    steps = [
        _Extreme(int(size), place, mode, cval, origin, combine, backend)
        for place, size, mode, origin in zip(places, *given, strict=True)
        if size > 1
    ]
    return passes.run(x, out, steps, pair=_two_extremes)


def _with_heights(x: Array, footprint: NDArray[np.bool_], heights: Array, combine: np.ufunc) -> Array:
    """Dilation adds the heights before the maximum is taken, erosion takes them off before the minimum.

    As in SciPy, sums have the dtype of `x`, so that those of integers wrap, all but that of the window's first pixel.
    """
    shape = tuple(size - taps + 1 for size, taps in zip(x.shape, footprint.shape, strict=True))
    sign = 1.0 if combine is np.maximum else -1.0
    result = None
    for corner in np.argwhere(footprint):
        part = x[tuple(slice(step, step + size) for step, size in zip(corner, shape, strict=True))]
        value = part + sign * heights[tuple(corner)]
        result = value if result is None else combine(result, cast(value, x.dtype), out=result)
    if result is None:
        raise ValueError("All-zero footprint is not supported.")
    return np.asarray(result)
