"""Filters of order, extrema and ranks, slab by slab; masked arrays come out masked where windows hold a masked pixel.

Called by the extrema, the ranks and the morphology of `fastconv.ndimage`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from fastconv.filtering import arguments as read
from fastconv.filtering.arguments import AxesLike, ModeLike, OutputLike, SizeLike
from fastconv.filtering.blocks import Reach, reach
from fastconv.filtering.parts import check_progress, in_slabs
from fastconv.progress import ProgressLike
from fastconv.typing import Array, ArrayLike


def window_slabs(
    op: str,
    run: Callable[[Array, Array], Array],
    first: Reach,
    x: Array,
    output: OutputLike,
    progress: ProgressLike | None,
) -> Array:
    """A filter of order, slab by slab; `first` is how far its windows reach along the first axis."""
    check_progress(op, progress)
    read.real(x)
    out = read.result_array(output, np.ma.getdata(x))

    def into(x: Array, out: Array) -> Array | None:
        result = run(x, out)
        return np.ma.getmaskarray(result) if np.ma.isMaskedArray(x) else None

    return read.with_mask(out, in_slabs(op, into, first, x, out, progress), output)


def first_reach(
    ndim: int,
    size: SizeLike,
    window: ArrayLike | None,
    mode: ModeLike,
    origin: int | Iterable[int],
    axes: AxesLike,
) -> Reach:
    """How far windows reach along the first axis; what does not fit is left to the filter to refuse."""
    places = read.check_axes(axes, ndim)
    place = 0 if len(places) == ndim else places.index(0) if 0 in places else None
    if place is None or not ndim:
        return Reach()
    pixels = read.for_each(size, len(places), "size") if window is None else [*np.asarray(window).shape]
    if len(pixels) != len(places) or pixels[place] is None:
        return Reach()
    mode, shift = (read.for_each(value, len(places))[place] for value in (mode, origin))
    return reach(int(pixels[place]), int(shift), read.border(mode))
