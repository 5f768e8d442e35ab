"""Cuts an array into parts that a whole filter is applied to, one at a time: those of stacks and of memory-mapped
files, and the parts of an array that missing pixels reach.

Called by the linear filters (`application.py`), those of order (`ordered.py`) and what is made of either. What
`blocks.py` cuts is padded and seen by windows; a part is an array like the whole, with the neighbours that windows
reach, so that any filter can be applied to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from fastconv.execution.memory import empty
from fastconv.filtering import arguments as read
from fastconv.filtering.arguments import OutputLike
from fastconv.filtering.blocks import Reach
from fastconv.progress import Progress, ProgressLike
from fastconv.text import echo
from fastconv.typing import Array

# Filters an array into another; the mask of the result, where there is one.
Into = Callable[[Array, Array], Array | None]

_REGION = 256  # pixels along each of the last two axes
SLAB_BYTES = 1 << 25  # of a slab as float64
LARGE_BYTES = 1 << 30  # of an array as float64 that is done slab by slab


class Part(NamedTuple):
    """A region of an array with its neighbours, and where the region lies in it."""

    x: Array
    inner: tuple[slice, ...]


def part(x: Array, reaches: Sequence[Reach], region: tuple[slice, ...]) -> Part:
    """What a filter has to be applied to for that region of its result.

    At an end of the array the part ends, too, and the filter finds the same border there; only the other end of an axis
    that is wrapped round is copied to where it is seen. A view of `x` everywhere else.
    """
    inner = []
    for axis, (size, each, along) in enumerate(zip(x.shape, reaches, region, strict=True)):
        extent = each.extent  # on both sides: borders mirror pixels from the other side of a window
        start, stop = along.start - extent, along.stop + extent
        if each.mode == "circular" and extent and (start < 0 or stop > size):
            x = np.take(x, np.arange(start, stop) % size, axis)
        else:
            start, stop = max(start, 0), min(stop, size)
            x = x[(slice(None),) * axis + (slice(start, stop),)]
        inner.append(slice(along.start - start, along.stop - start))
    return Part(x, tuple(inner))


def slabs(shape: tuple[int, ...], reach: Reach) -> list[slice]:
    """Parts of the first axis, several times as long as windows reach along it."""
    row = max(1, 8 * math.prod(shape[1:]))
    length = max(1, SLAB_BYTES // row, 4 * reach.extent)
    return [slice(start, min(start + length, shape[0])) for start in range(0, shape[0], length)]


def touched_regions(touched: Array, reaches: Sequence[Reach]) -> Iterator[tuple[slice, ...]]:
    """Regions that hold all that is true, several times as long as windows reach."""
    least = [1] * max(0, touched.ndim - 2) + [_REGION] * min(2, touched.ndim)
    steps = [max(step, 4 * each.extent) for step, each in zip(least, reaches, strict=True)]
    counts = [range(0, n, step) for n, step in zip(touched.shape, steps, strict=True)]
    for corner in product(*counts):
        region = tuple(
            slice(start, min(start + step, n))
            for start, step, n in zip(corner, steps, touched.shape, strict=True)
        )
        if touched[region].any():
            yield region


def wants_parts(input: Array, output: OutputLike, progress: ProgressLike | None) -> bool:
    """Is an array to be done slab by slab: a large one, one in a file, or one whose progress is to be told?"""
    if progress or isinstance(input, np.memmap) or isinstance(output, np.memmap):
        return True
    return 8 * input.size > LARGE_BYTES


def check_progress(op: str, progress: ProgressLike | None) -> None:
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise TypeError(f"{op}: progress is {echo(progress)}, but needs True, False or a function")


def apply(
    op: str,
    into: Into,
    reach: Reach | None,
    x: Array,
    output: OutputLike,
    progress: ProgressLike | None,
    *,
    complex_result: bool = False,
) -> Array:
    """What `into` makes of the array, with the mask that it gives; slab by slab where that is wanted.

    `reach` is how far it reaches along the first axis; None where that cannot be cut.
    """
    check_progress(op, progress)
    data = np.ma.getdata(x) if isinstance(x, np.ma.MaskedArray) else x
    out = read.result_array(output, data, complex_result=complex_result)
    parts = wants_parts(x, output, progress)
    mask = _in_slabs(op, into, reach, x, out, progress) if parts else into(x, out)
    return read.with_mask(out, mask, output)


def _in_slabs(
    op: str, into: Into, reach: Reach | None, x: Array, out: Array, progress: ProgressLike | None
) -> Array | None:
    """`x`, filtered into `out` slab by slab, and the mask of the result.

    A result that lies where the array does is not cut where windows reach from one slab to the next.
    """
    x = x if np.ma.isMaskedArray(x) else np.asarray(x)
    if not x.ndim:
        mask = into(x, out)
        Progress(progress or False, 0, 1, "slabs")(1)
        return mask
    mask = into(x[:0], out[:0])  # refuses what does not fit before anybody is told that work has begun
    if reach is None or (reach.extent and np.may_share_memory(x, out)):
        told = Progress(progress or False, 0, 1, "slabs")
        mask = into(x, out)
        told(1)
        return mask
    if mask is not None:
        mask = np.zeros(out.shape, bool)
    parts = slabs(out.shape, reach)
    told = Progress(progress or False, 0, len(parts), "slabs")
    along = [reach, *(Reach() for _ in out.shape[1:])]
    for count, rows in enumerate(parts, 1):
        piece = part(x, along, (rows, *(slice(0, n) for n in out.shape[1:])))
        target = out[rows]
        if piece.x.shape != target.shape:
            target = empty(op, piece.x.shape, out.dtype)
        missing = into(piece.x, target)
        if target.shape != out[rows].shape:
            out[rows] = target[piece.inner]
        if mask is not None and missing is not None:
            mask[rows] = missing[piece.inner]
        told(count)
    return mask
