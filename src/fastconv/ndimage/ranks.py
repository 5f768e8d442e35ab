"""The pixel of a rank among those of a sliding window: `rank_filter`, `median_filter`, `percentile_filter`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import SupportsIndex

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fastconv.execution.memory import empty
from fastconv.filtering import arguments as read
from fastconv.filtering.arguments import AxesLike, ModeLike, OutputLike, SizeLike
from fastconv.filtering.blocks import Reach, block, reach, regions
from fastconv.filtering.casting import cast
from fastconv.filtering.extrema import box_filter, footprint_filter, worst
from fastconv.filtering.folding import folded
from fastconv.filtering.known import kept_filters
from fastconv.filtering.missing import Missing, NanPolicy
from fastconv.filtering.network import MOST_COUNTED, MOST_PIXELS, Network, ranked_pictures, select, selection
from fastconv.filtering.ordered import OrderFilter
from fastconv.filtering.parts import touched_regions
from fastconv.filtering.pictures import KernelCall
from fastconv.filtering.sliding import extrema, ranks_along
from fastconv.ndimage.extrema import extremes
from fastconv.progress import ProgressLike
from fastconv.text import echo
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["median_filter", "percentile_filter", "rank_filter"]

_NETWORK_BLOCK = 1 << 16  # bytes: so many arrays as the window has pixels lie in cache
_LINE_BLOCK = 1 << 17  # bytes whose ranks along lines are looked up: what that takes lies in cache
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
    nan_policy: NanPolicy = "propagate",
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
    nan_policy : {"propagate", "omit"}
        As for `minimum_filter`; with ``"omit"`` only the smallest and the largest rank are taken, as windows that miss
        pixels may not have others.

    Returns
    -------
    ndarray

    Notes
    -----
    As in SciPy, sizes and footprints of some of the axes lie along these in the order of the array's axes, whatever the
    order of `axes`. Unlike SciPy, which looks at the whole window of a one-dimensional array, footprints with holes
    mean the same for any number of axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.rank_filter(np.array([2, 8, 0, 4, 1, 9, 9, 0]), rank=1, size=3)
    array([2, 2, 4, 1, 4, 9, 9, 0])
    """
    return _rank_filter(
        "rank_filter", input, read.integer(rank, "rank"), size, footprint, output, mode, cval, origin, axes,
        nan_policy, progress, backend,
    )  # fmt: skip


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
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The median of a sliding window; of an even number of pixels the upper one of the middle two.

    Parameters
    ----------
    input, size, footprint, output, mode, cval, origin, axes, progress, backend
        As for `minimum_filter`.
    nan_policy : {"propagate", "omit"}
        As for `minimum_filter`. The median of an even number of pixels that are left is the upper one of the middle two
        as well: no mean, as `numpy.nanmedian` gives.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.median_filter(np.array([1, 1, 90, 1, 2, 2]), size=3)
    array([1, 1, 1, 2, 2, 2])
    >>> ndimage.median_filter([3, np.nan, 5, 4, 9], size=3, nan_policy="omit")
    array([3., 5., 5., 5., 9.])
    """
    return _rank_filter(
        "median_filter", input, 50.0, size, footprint, output, mode, cval, origin, axes,
        nan_policy, progress, backend,
    )  # fmt: skip


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
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The pixel below which that part of a sliding window lies.

    Parameters
    ----------
    input : array_like
    percentile : float
        From 0 to 100; -20 is 80.
    size, footprint, output, mode, cval, origin, axes, nan_policy, progress, backend
        As for `minimum_filter`; that part of the pixels that are left.

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
    read.check_real(percentile, "percentile")
    if percentile != percentile:
        raise ValueError("percentile is nan, but needs to be a number from -100 to 100")
    part = percentile + 100.0 if percentile < 0 else percentile
    if not 0 <= part <= 100:
        raise RuntimeError(f"invalid percentile: {percentile}, needs one from -100 to 100")

    return _rank_filter(
        "percentile_filter", input, float(part), size, footprint, output, mode, cval, origin, axes,
        nan_policy, progress, backend,
    )  # fmt: skip


def _rank_filter(
    op: str,
    input: ArrayLike,
    which: int | float,
    size: SizeLike,
    footprint: ArrayLike | None,
    output: OutputLike,
    mode: ModeLike,
    cval: float,
    origin: int | Iterable[int],
    axes: AxesLike,
    nan_policy: NanPolicy,
    progress: ProgressLike | None,
    backend: BackendName | None,
) -> Array:
    """`which` is the rank, or as a float the percentage of the pixels that are before it."""
    x = read.array(input)
    size = read.size_or_footprint(size, footprint, 4)
    read.real(x)
    window = None if footprint is None else read.window("footprint", footprint)
    order = _rank_of(op, x.shape, which, size, window, mode, cval, origin, axes, nan_policy, backend)
    return order.applied(x, output, progress)


def _rank(which: int | float, count: int) -> int:
    """The place that `which` is among so many pixels; where it is a rank, maybe beyond them."""
    if isinstance(which, float):
        return count - 1 if which == 100 else int(count * which / 100.0)
    return which + (count if which < 0 else 0)


@kept_filters
def _rank_of(
    op: str,
    x_shape: tuple[int, ...],
    which: int | float,
    size: SizeLike,
    footprint: Array | None,
    mode: ModeLike,
    cval: float,
    origin: int | Iterable[int],
    axes: AxesLike,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> OrderFilter:
    """A filter of arrays of that shape."""
    ndim = len(x_shape)
    cval = read.number(cval)
    places = read.check_axes(axes, ndim)
    if footprint is not None:
        window = footprint.astype(bool)
        count = int(np.count_nonzero(window))
    elif size is None:
        raise RuntimeError("no footprint or filter size provided: needs size or footprint")
    else:
        pixels = [read.integer(each, "size") for each in read.for_each(size, len(places), "size")]
        if min(pixels, default=0) < 0:
            raise ValueError(f"size is {echo(size)}, but no window has fewer than 0 pixels: needs 1 at least")
        window, count = np.broadcast_to(True, pixels), math.prod(pixels)
    window = read.widen(window, places, ndim)
    origins = read.spread(read.for_each(origin, len(places), "origin"), places, ndim, 0)
    for shift, pixels in zip(origins, window.shape, strict=True):
        read.check_origin(shift, pixels)
    rank = _rank(which, count)
    if not 0 <= rank < count:
        given = rank if isinstance(which, float) else which
        raise RuntimeError(
            f"rank not within filter footprint size: rank is {given}, but needs {-count} to {count - 1}"
        )
    if rank in (0, count - 1):
        if not isinstance(mode, str):
            mode = read.spread(read.for_each(mode, len(places), "mode"), places, ndim, "constant")
        combine = np.minimum if rank == 0 else np.maximum
        box, shape = (window.shape, None) if count == window.size else (None, window)
        return extremes(
            op, x_shape, box, shape, None, mode, cval, origins, combine, None, nan_policy, backend
        )  # fmt: skip
    border = read.one_border(mode)
    reaches = [reach(pixels, shift, border) for pixels, shift in zip(window.shape, origins, strict=True)]
    ranks = _Ranks.of(x_shape, window, count, rank, reaches, backend)
    if count == window.size:
        extrema = box_filter(
            op, x_shape, list(enumerate(reaches)), cval, np.maximum, nan_policy, backend
        )  # fmt: skip
    else:
        extrema = footprint_filter(op, x_shape, window, None, reaches, cval, np.maximum, nan_policy, backend)
    if not isinstance(which, float) and nan_policy == "omit":
        raise ValueError(
            f"{op}: nan_policy is 'omit', but rank is {rank} of {count}, which windows with fewer pixels may not have: "
            "needs the smallest or the largest, or percentile_filter"
        )
    omit = partial(_without_missing, ranks, extrema, which)
    return OrderFilter(
        op, ranks.reaches, ranks.into, omit, extrema.windows, cval, backend, nan_policy, ranks.nbytes
    )  # fmt: skip


@dataclass(frozen=True)
class _Ranks:
    """The pixels of a rank among the `count` pixels of a window, of which each counts as often as `times` says."""

    window: NDArray[np.bool_]
    times: NDArray[np.int64] | None
    count: int
    rank: int
    reaches: Sequence[Reach]
    backend: BackendName | None

    @classmethod
    def of(
        cls,
        shape: tuple[int, ...],
        window: NDArray[np.bool_],
        count: int,
        rank: int,
        reaches: Sequence[Reach],
        backend: BackendName | None,
    ) -> _Ranks:
        """Those of arrays of that shape: windows that are larger than what they see become smaller ones."""
        if count > MOST_COUNTED:
            folding = folded(shape, None if count == window.size else window, reaches)
            if folding is not None:
                times = folding.kernels[0].astype(np.int64)
                return cls(times > 0, times[times > 0], count, rank, folding.reaches, backend)
        return cls(window, None, count, rank, reaches, backend)

    @property
    def pixels(self) -> int:
        """How many the window has."""
        return self.count if self.times is None else self.times.size

    @property
    def nbytes(self) -> int:
        return self.window.nbytes + (0 if self.times is None else self.times.nbytes)

    @property
    def axis(self) -> int | None:
        """That along which the whole window lies, each pixel counting once."""
        if self.times is not None or not max(self.window.shape) == self.window.size == self.count:
            return None
        return self.window.shape.index(self.count)

    def into(self, x: Array, out: Array, cval: float) -> KernelCall | None:
        if not x.size:
            return None  # of any dtype, as in SciPy
        if x.ndim == 1 and x.dtype.newbyteorder("=") == np.float16:  # which SciPy takes of one axis alone
            wide = empty("ndimage", x.shape, np.dtype(np.float32))
            self.into(x.astype(np.float32), wide, cval)
            with np.errstate(over="ignore"):
                out[...] = cast(wide, out.dtype)
            return None
        read.check_type(x.dtype)
        read.check_type(out.dtype)
        with read.apart(x, out) as target:
            dtype = x.dtype.newbyteorder("=")
            held = cast(np.array(cval, np.float64), dtype)[()]
            few = self.count <= MOST_PIXELS
            call = None
            if self.times is None:
                network = Network(selection(self.count, self.rank) if few else (), self.rank)
                call = ranked_pictures(x, self.window, network, self.reaches, held, target, self.backend)
            if call is None:
                extents = [each.extent for each in self.reaches]
                bound = _NETWORK_BLOCK if few else None if self.axis is None else _LINE_BLOCK
                for region in regions(out.shape, extents, dtype.itemsize, bound):
                    pixels = block(x, self.reaches, region, held, dtype)
                    target[region] = cast(_ranked(pixels, self), out.dtype)
        return call


def _without_missing(
    ranks: _Ranks,
    extrema: OrderFilter,
    which: int | float,
    x: Array,
    out: Array,
    cval: float,
    missing: Missing,
    beyond: bool,
) -> None:
    """Ranks of the pixels that are there: missing ones are the last where the window is sorted."""
    dtype = x.dtype.newbyteorder("=")
    last = worst(dtype, np.minimum)
    filled = np.where(missing, last, x)
    cval = float(last) if beyond else cval
    ranks.into(filled, out, cval)
    touched = extrema.windows(missing, np.maximum, beyond)
    held = cast(np.array(cval, np.float64), dtype)[()]
    bound = max(1, _WINDOWS // (ranks.pixels * dtype.itemsize))
    for region in touched_regions(touched, ranks.reaches):
        here, values = np.argwhere(touched[region]), empty("ndimage", touched[region].shape, dtype)
        pixels = sliding_window_view(block(filled, ranks.reaches, region, held, dtype), ranks.window.shape)
        gone = sliding_window_view(
            block(missing, ranks.reaches, region, beyond, missing.dtype), ranks.window.shape
        )
        for start in range(0, len(here), bound):
            places = tuple(here[start : start + bound].T)
            times = 1 if ranks.times is None else ranks.times
            left, same = np.unique(
                ranks.count - (gone[places][:, ranks.window] * times).sum(1), return_inverse=True
            )
            fewer = [max(0, _rank(which, number)) for number in map(int, left)]
            values[places] = _pick(pixels[places][:, ranks.window], np.array(fewer)[same], ranks.times)
        out[region][touched[region]] = cast(values[touched[region]], out.dtype)


def _pick(windows: Array, ranks: NDArray[np.intp], times: NDArray[np.int64] | None) -> Array:
    """The pixel of each row that has the rank of that row, where each pixel counts so many times."""
    if times is None:
        windows.sort(axis=1)
        return np.take_along_axis(windows, ranks[:, None], 1)[:, 0]
    order = windows.argsort(axis=1)
    place = (times[order].cumsum(1) > ranks[:, None]).argmax(1)
    column = np.take_along_axis(order, place[:, None], 1)
    return np.take_along_axis(windows, column, 1)[:, 0]


def _ranked(x: Array, ranks: _Ranks) -> Array:
    """The pixels of that rank, for every place where the window lies within `x`."""
    window, rank = ranks.window, ranks.rank
    if ranks.count <= MOST_PIXELS:
        shape = tuple(size - taps + 1 for size, taps in zip(x.shape, window.shape, strict=True))
        corners = np.argwhere(window)
        views = [
            x[tuple(slice(step, step + size) for step, size in zip(corner, shape, strict=True))]
            for corner in corners
        ]
        return select(views, rank)
    spoilt = x.dtype.kind == "f" and bool(np.isnan(x).any())
    if ranks.axis is not None:
        found = ranks_along(x, ranks.axis, ranks.count, rank)
        if spoilt:
            found[extrema(np.isnan(x), ranks.axis, ranks.count, np.maximum)] = np.nan
        return found
    windows = sliding_window_view(x, window.shape)
    result = empty("ndimage", windows.shape[: x.ndim], x.dtype)
    for region in regions(result.shape, [0] * x.ndim, x.itemsize * ranks.pixels, _WINDOWS):
        pixels = windows[region][..., window]
        gone = np.isnan(pixels).any(-1) if spoilt else False
        if ranks.times is None:
            pixels.partition(rank, axis=-1)
            found = pixels[..., rank]
        else:
            rows = pixels.reshape(-1, ranks.pixels)
            found = _pick(rows, np.full(len(rows), rank), ranks.times).reshape(pixels.shape[:-1])
        result[region] = np.where(gone, np.nan, found) if spoilt else found
    return result
