"""Cuts an array into parts that a whole filter is applied to, one at a time: those of stacks and of memory-mapped
files, and the parts of an array that missing pixels reach.

Called by `application.py`. What `blocks.py` cuts is padded and seen by windows; a part is an array like the whole, with
the neighbours that windows reach, so that any filter can be applied to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fastconv.filtering.blocks import Reach
from fastconv.typing import Array

SLAB_BYTES = 1 << 25  # of a slab as float64
LARGE_BYTES = 1 << 28  # of an array as float64 that is done slab by slab


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


def touched_regions(touched: Array, size: int = 128) -> Iterator[tuple[slice, ...]]:
    """Regions that hold all that is true; of up to `size` pixels along each of the last two axes."""
    steps = [1] * max(0, touched.ndim - 2) + [size] * min(2, touched.ndim)
    counts = [range(0, n, step) for n, step in zip(touched.shape, steps, strict=True)]
    for corner in np.ndindex(*map(len, counts)):
        starts = [count[i] for count, i in zip(counts, corner, strict=True)]
        region = tuple(
            slice(start, min(start + step, n))
            for start, step, n in zip(starts, steps, touched.shape, strict=True)
        )
        if touched[region].any():
            yield region
