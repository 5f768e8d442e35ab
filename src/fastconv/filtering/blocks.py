"""Cuts an array into blocks with the borders that a filter's windows reach, one at a time: neither the array nor its
borders are ever copied as a whole.

Called by every filter: sums, extrema and ranks see blocks only, and their windows lie within those.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from fastconv.execution.memory import empty
from fastconv.problem.padding import Border, sources
from fastconv.settings.threads import get_num_threads
from fastconv.typing import Array, PaddingMode

BLOCK_BYTES = 1 << 20  # for each thread: what a second-level cache holds
PASS_BYTES = 1 << 18  # where one thread passes over several arrays of the size of a block
_LEAST = 256  # neighbours in memory that stay together


class Reach(NamedTuple):
    """How far windows reach along one axis: pixels before and after their own, and what lies beyond the array."""

    before: int = 0
    after: int = 0
    mode: PaddingMode = "zeros"

    @property
    def extent(self) -> int:
        return self.before + self.after


def reach(size: int, origin: int, mode: PaddingMode) -> Reach:
    """How far a window of `size` pixels, moved by `origin`, reaches."""
    before = size // 2 + origin
    return Reach(before, size - 1 - before, mode)


class Segment(NamedTuple):
    """Neighbours along one axis of a block, and where they come from; None: the constant."""

    target: slice
    source: slice | Array | None


def segments(size: int, reach: Reach, start: int, stop: int) -> list[Segment]:
    """The parts of one axis of a block whose windows belong to the pixels from `start` to `stop`."""
    first, last = start - reach.before, stop + reach.after
    inner = slice(min(max(0, first), size), max(0, min(size, last)))
    parts = [Segment(slice(inner.start - first, inner.stop - first), inner)]
    outside = [slice(0, inner.start - first), slice(inner.stop - first, last - first)]
    if reach.mode == "zeros":
        parts += [Segment(part, None) for part in outside if part.stop > part.start]
    elif any(part.stop > part.start for part in outside):
        table = sources(Border(size, -first, last - size), reach.mode)
        parts += [Segment(part, table[part]) for part in outside if part.stop > part.start]
    return parts


def block(
    x: Array, reaches: Sequence[Reach], region: tuple[slice, ...], cval: Any, dtype: np.dtype[Any]
) -> Array:
    """What the windows of that region of the result see, of that dtype; a view of `x` where it is just that."""
    axes = [
        segments(size, reach, part.start, part.stop)
        for size, reach, part in zip(x.shape, reaches, region, strict=True)
    ]
    if all(len(parts) == 1 for parts in axes):
        return np.asarray(x[tuple(parts[0].source for parts in axes)]).astype(dtype, copy=False)
    shape = [part.stop - part.start + reach.extent for part, reach in zip(region, reaches, strict=True)]
    result = empty("filter", tuple(shape), dtype)
    for parts in product(*axes):
        target = result[tuple(part.target for part in parts)]
        if any(part.source is None for part in parts):
            target[...] = cval
            continue
        source = x
        for axis, part in enumerate(parts):
            source = source[(slice(None),) * axis + (part.source,)]
        with np.errstate(all="ignore"):
            target[...] = source
    return result


def regions(
    shape: tuple[int, ...], extents: Sequence[int], itemsize: int, bound: int | None = None
) -> Iterator[tuple[slice, ...]]:
    """Regions of a result, in order, whose blocks take about `bound` bytes.

    Leading axes are cut first. One that windows reach along is cut into parts several times as long as they reach, so
    that most of what is read is read once; then the axis after it is cut, too, if need be.
    """
    if 0 in shape:
        return
    bound = BLOCK_BYTES * get_num_threads() if bound is None else bound
    parts = list(shape)
    for axis, extent in enumerate(extents):
        block_bytes = itemsize * math.prod(map(operator.add, parts, extents))
        if block_bytes <= bound:
            break
        rest = block_bytes // (parts[axis] + extent)
        least = _LEAST if axis == len(shape) - 1 else 1
        parts[axis] = min(parts[axis], max(least, 4 * extent, bound // rest - extent))
    yield from (
        tuple(
            slice(start, min(start + part, size))
            for start, part, size in zip(corner, parts, shape, strict=True)
        )
        for corner in product(*(range(0, size, part) for size, part in zip(shape, parts, strict=True)))
    )
