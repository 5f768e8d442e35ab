"""Maxima and minima of sliding windows: `maximum_filter`, `minimum_filter`, and along one axis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from fastconv.filtering import arguments as read
from fastconv.filtering.arguments import AxesLike, BorderName, ModeLike, OutputLike, SizeLike
from fastconv.filtering.blocks import Reach, reach
from fastconv.filtering.extrema import box_filter, footprint_filter
from fastconv.filtering.known import kept_filters
from fastconv.filtering.missing import NanPolicy
from fastconv.filtering.ordered import OrderFilter
from fastconv.ndimage.means import window_reach
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
    nan_policy: NanPolicy = "propagate",
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
    nan_policy : {"propagate", "omit"}
        As for `minimum_filter`.

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
    return one_axis(
        "minimum_filter1d", input, size, axis, output, mode, cval, origin, np.minimum, nan_policy, progress, backend
    )  # fmt: skip


def maximum_filter1d(
    input: ArrayLike,
    size: SupportsIndex,
    axis: SupportsIndex = -1,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: float = 0.0,
    origin: SupportsIndex = 0,
    *,
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The largest pixel of a sliding window along one axis.

    Parameters
    ----------
    input, size, axis, output, mode, cval, origin, nan_policy, progress, backend
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
    return one_axis(
        "maximum_filter1d", input, size, axis, output, mode, cval, origin, np.maximum, nan_policy, progress, backend
    )  # fmt: skip


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
    nan_policy: NanPolicy = "propagate",
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
    nan_policy : {"propagate", "omit"}
        What becomes of windows with missing pixels, which are NaN and masked ones: they are missing, too; or the result
        is that of the window's other pixels. A window without any pixel gives NaN, or 0 where the result is of
        integers. With ``cval=nan`` the pixels beyond the array are missing for ``"omit"``. There is nothing that
        ``"interpolate"`` could scale: it is refused.

    Returns
    -------
    ndarray
        A masked array where `input` is one: masked are the missing pixels.

    Raises
    ------
    ValueError, RuntimeError, TypeError
        If an argument does not fit, of the type that SciPy raises.

    Notes
    -----
    The time of boxes grows with the logarithm of their size, that of footprints with the number of their rows.
    A NaN reaches the windows that hold it; in SciPy that depends on where it stands in them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.minimum_filter(np.arange(9).reshape(3, 3), footprint=[[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    array([[0, 0, 1],
           [0, 1, 2],
           [3, 4, 5]])
    >>> ndimage.minimum_filter([4, np.nan, 7, 5, 6], size=3, nan_policy="omit")
    array([4., 4., 5., 5., 5.])
    """
    return extreme_filter(
        "minimum_filter", input, size, footprint, None, output, mode, cval, origin, np.minimum, axes,
        nan_policy, progress, backend,
    )  # fmt: skip


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
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The largest pixel of a sliding window.

    Parameters
    ----------
    input, size, footprint, output, mode, cval, origin, axes, nan_policy, progress, backend
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
        "maximum_filter", input, size, footprint, None, output, mode, cval, origin, np.maximum, axes,
        nan_policy, progress, backend,
    )  # fmt: skip


def one_axis(
    op: str,
    input: ArrayLike,
    size: SupportsIndex,
    axis: SupportsIndex,
    output: OutputLike,
    mode: BorderName,
    cval: float,
    origin: SupportsIndex,
    combine: np.ufunc,
    nan_policy: NanPolicy,
    progress: ProgressLike | None,
    backend: BackendName | None,
) -> Array:
    """Maxima or minima along one axis."""
    x = read.array(input)
    read.real(x)
    order = _along_axis(op, x.shape, size, axis, mode, cval, origin, combine, nan_policy, backend)
    return order.applied(x, output, progress)


@kept_filters
def _along_axis(
    op: str,
    shape: tuple[int, ...],
    size: SupportsIndex,
    axis: SupportsIndex,
    mode: BorderName,
    cval: float,
    origin: SupportsIndex,
    combine: np.ufunc,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> OrderFilter:
    """Maxima or minima along one axis of arrays of that shape."""
    cval = read.number(cval)
    steps = [(read.check_axis(axis, len(shape)), window_reach(size, mode, origin))]
    return box_filter(op, shape, steps, cval, combine, nan_policy, backend)


def extreme_filter(
    op: str,
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
    nan_policy: NanPolicy,
    progress: ProgressLike | None,
    backend: BackendName | None,
) -> Array:
    """Maxima or minima over a box, a footprint, or a footprint with heights that are added or taken off."""
    x = read.array(input)
    size = read.size_or_footprint(size, footprint, 4)
    footprint, structure = (
        None if each is None else read.window(name, each)
        for name, each in (("footprint", footprint), ("structure", structure))
    )
    read.real(x)
    order = extremes(
        op, x.shape, size, footprint, structure, mode, cval, origin, combine, axes, nan_policy, backend
    )  # fmt: skip
    return order.applied(x, output, progress)


@kept_filters
def extremes(
    op: str,
    x_shape: tuple[int, ...],
    size: SizeLike,
    footprint: Array | None,
    structure: Array | None,
    mode: ModeLike,
    cval: float,
    origin: int | Iterable[int],
    combine: np.ufunc,
    axes: AxesLike,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> OrderFilter:
    """Such a filter of arrays of that shape."""
    ndim = len(x_shape)
    shape: NDArray[np.bool_] | None = None
    heights: Array | None = None
    if footprint is not None:
        shape = footprint.astype(bool)
    if structure is not None:
        heights = structure.astype(np.float64)
        shape = np.ones(heights.shape, bool) if shape is None else shape
    elif shape is None and size is None:
        raise RuntimeError("no footprint provided: needs size or footprint")
    elif shape is not None:
        if not shape.any():
            raise ValueError("All-zero footprint is not supported.")
        if shape.all():
            size, shape = shape.shape, None
    cval = read.number(cval)
    places = read.check_axes(axes, ndim)
    if shape is None:
        steps = _box_steps(places, size, mode, origin)
        return box_filter(op, x_shape, steps, cval, combine, nan_policy, backend)
    shape = read.widen(shape, places, ndim)
    if heights is not None:
        if heights.ndim != len(places):
            raise RuntimeError(
                f"structure array has incorrect shape: {heights.ndim} axes, needs {len(places)}"
            )
        heights = read.widen(heights, places, ndim, "structure")
        if heights.shape != shape.shape:
            raise RuntimeError(f"structure has shape {heights.shape}, but footprint has {shape.shape}")
        if not shape.any():
            raise ValueError("All-zero footprint is not supported.")
    origins = read.spread(read.for_each(origin, len(places), "origin"), places, ndim, 0)
    for shift, pixels in zip(origins, shape.shape, strict=True):
        read.check_origin(shift, pixels)
    border = read.one_border(mode)
    reaches = [reach(pixels, shift, border) for pixels, shift in zip(shape.shape, origins, strict=True)]
    return footprint_filter(op, x_shape, shape, heights, reaches, cval, combine, nan_policy, backend)


def _box_steps(
    places: tuple[int, ...], size: SizeLike, mode: ModeLike, origin: int | Iterable[int]
) -> list[tuple[int, Reach]]:
    """The axes that a box reaches along, and how far."""
    given = [
        read.for_each(value, len(places), name)
        for value, name in ((size, "size"), (mode, "mode"), (origin, "origin"))
    ]
    for each in given[0]:
        read.check_real(each, "size")
    return [
        (place, window_reach(int(size), mode, origin))
        for place, size, mode, origin in zip(places, *given, strict=True)
        if size > 1
    ]
