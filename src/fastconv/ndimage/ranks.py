"""The pixel of a rank among those of a sliding window: `rank_filter`, `median_filter`, `percentile_filter`."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterable
from typing import SupportsIndex

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fastconv.execution.memory import empty
from fastconv.filtering import arguments as read
from fastconv.filtering.arguments import AxesLike, ModeLike, OutputLike, SizeLike
from fastconv.filtering.blocks import block, reach, regions
from fastconv.filtering.casting import cast
from fastconv.filtering.network import MOST_PIXELS, Network, ranked_pictures, select, selection
from fastconv.filtering.ordered import first_reach, window_slabs
from fastconv.filtering.parts import wants_parts
from fastconv.ndimage.extrema import extreme_filter, masked_windows
from fastconv.progress import ProgressLike
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["median_filter", "percentile_filter", "rank_filter"]

_NETWORK_BLOCK = 1 << 16  # bytes: so many arrays as the window has pixels lie in cache
_WINDOWS = 1 << 22  # bytes of the windows that are partitioned at a time


def rank_filter(
    input: ArrayLike,
    rank: SupportsIndex,
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
    """The pixel of a rank among those of a sliding window, sorted.

    Parameters
    ----------
    input : array_like
    rank : int
        0 is the smallest, -1 the largest.
    size, footprint, output, mode, cval, origin, axes, progress, backend
        As for `minimum_filter`.

    Returns
    -------
    ndarray

    Notes
    -----
    Unlike SciPy, which looks at the whole window of a one-dimensional array, footprints with holes mean the same for
    any number of axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.rank_filter(np.array([2, 8, 0, 4, 1, 9, 9, 0]), rank=1, size=3)
    array([2, 2, 4, 1, 4, 9, 9, 0])
    """
    place = operator.index(rank)
    return _rank_filter(
        input, lambda count: place, size, footprint, output, mode, cval, origin, axes, backend, progress
    )


def median_filter(
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
    """The median of a sliding window; of an even number of pixels the upper one of the middle two.

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
    >>> ndimage.median_filter(np.array([1, 1, 90, 1, 2, 2]), size=3)
    array([1, 1, 1, 2, 2, 2])
    """
    return _rank_filter(
        input, lambda count: count // 2, size, footprint, output, mode, cval, origin, axes, backend, progress
    )


def percentile_filter(
    input: ArrayLike,
    percentile: float,
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
    """The pixel below which that part of a sliding window lies.

    Parameters
    ----------
    input : array_like
    percentile : float
        From 0 to 100; -20 is 80.
    size, footprint, output, mode, cval, origin, axes, progress, backend
        As for `minimum_filter`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.percentile_filter(np.array([2, 8, 0, 4, 1, 9, 9, 0]), percentile=100, size=3)
    array([8, 8, 8, 4, 9, 9, 9, 9])
    """
    part = percentile + 100.0 if percentile < 0 else percentile
    if not 0 <= part <= 100:
        raise RuntimeError(f"invalid percentile: {percentile}, needs one from -100 to 100")

    def rank(count: int) -> int:
        return count - 1 if part == 100 else int(count * float(part) / 100.0)

    return _rank_filter(input, rank, size, footprint, output, mode, cval, origin, axes, backend, progress)


def _rank_filter(
    input: ArrayLike,
    rank_of: Callable[[int], int],
    size: SizeLike,
    footprint: ArrayLike | None,
    output: OutputLike,
    mode: ModeLike,
    cval: float,
    origin: int | Iterable[int],
    axes: AxesLike,
    backend: BackendName | None,
    progress: ProgressLike | None,
) -> Array:
    array = read.array(input)

    def run(x: Array, out: OutputLike) -> Array:
        return _rank_whole(x, rank_of, size, footprint, out, mode, cval, origin, axes, backend)

    if not wants_parts(array, output, progress):
        return run(array, output)
    first = first_reach(array.ndim, size, footprint, mode, origin, axes)
    return window_slabs("ndimage", run, first, array, output, progress)


def _rank_whole(
    input: ArrayLike,
    rank_of: Callable[[int], int],
    size: SizeLike,
    footprint: ArrayLike | None,
    output: OutputLike,
    mode: ModeLike,
    cval: float,
    origin: int | Iterable[int],
    axes: AxesLike,
    backend: BackendName | None,
) -> Array:
    if isinstance(input, np.ma.MaskedArray):
        data = np.ma.getdata(input)
        result = _rank_whole(data, rank_of, size, footprint, output, mode, cval, origin, axes, backend)
        return read.with_mask(
            result, masked_windows(input, size, footprint, mode, origin, axes, backend), output
        )
    if size is not None and footprint is not None:
        warnings.warn("ignoring size because footprint is set", UserWarning, stacklevel=3)
    x = read.real(input)
    places = read.check_axes(axes, x.ndim)
    if footprint is not None:
        window = np.asarray(footprint, bool)
    elif size is None:
        raise RuntimeError("no footprint or filter size provided: needs size or footprint")
    else:
        window = np.ones(read.for_each(size, len(places), "size"), bool)
    window = read.widen(window, places, x.ndim)
    origins = read.spread(read.for_each(origin, len(places), "origin"), places, x.ndim, 0)
    for shift, pixels in zip(origins, window.shape, strict=True):
        read.check_origin(shift, pixels)
    count = int(np.count_nonzero(window))
    rank = rank_of(count)
    rank += count if rank < 0 else 0
    if not 0 <= rank < count:
        raise RuntimeError(f"rank not within filter footprint size: {rank}, needs one below {count}")
    if rank in (0, count - 1):
        if not isinstance(mode, str):
            mode = read.spread(read.for_each(mode, len(places), "mode"), places, x.ndim, "constant")
        combine = np.minimum if rank == 0 else np.maximum
        return extreme_filter(x, None, window, None, output, mode, cval, origins, combine, None, backend)
    border = read.one_border(mode)
    out = read.result_array(output, x)
    if x.dtype.kind not in "biuf" or out.dtype.kind not in "biuf":
        raise RuntimeError(f"array type {x.dtype!r} not supported")
    target = empty("ndimage", out.shape, out.dtype) if np.may_share_memory(x, out) else out
    reaches = [reach(pixels, shift, border) for pixels, shift in zip(window.shape, origins, strict=True)]
    extents = [each.extent for each in reaches]
    dtype = x.dtype.newbyteorder("=")
    held = cast(np.array(cval, np.float64), dtype)[()]
    network = Network(selection(count, rank) if count <= MOST_PIXELS else (), rank)
    if ranked_pictures(x, window, network, reaches, held, target, backend):
        if target is not out:
            out[...] = target
        return out
    bound = _NETWORK_BLOCK if count <= MOST_PIXELS else None
    for region in regions(out.shape, extents, dtype.itemsize, bound):
        values = _ranked(block(x, reaches, region, held, dtype), window, count, rank)
        target[region] = cast(values, out.dtype)
    if target is not out:
        out[...] = target
    return out


def _ranked(x: Array, window: NDArray[np.bool_], count: int, rank: int) -> Array:
    """The pixels of that rank, for every place where the window lies within `x`."""
    if count <= MOST_PIXELS:
        shape = tuple(size - taps + 1 for size, taps in zip(x.shape, window.shape, strict=True))
        corners = np.argwhere(window)
        views = [
            x[tuple(slice(step, step + size) for step, size in zip(corner, shape, strict=True))]
            for corner in corners
        ]
        return select(views, rank)
    windows = sliding_window_view(x, window.shape)
    result = empty("ndimage", windows.shape[: x.ndim], x.dtype)
    for region in regions(result.shape, [0] * x.ndim, x.itemsize * count, _WINDOWS):
        pixels = windows[region][..., window]
        pixels.partition(rank, axis=-1)
        result[region] = pixels[..., rank]
    return result
