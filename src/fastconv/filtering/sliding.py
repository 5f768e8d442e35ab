"""Maxima, minima, sums and ranks over sliding windows, in a number of passes that grows with a logarithm.

Windows of 1, 2, 4, ... pixels are put together from two of half their size; ranks go down a wavelet matrix, bit by bit.
Called by the extrema, the means and the ranks of `fastconv.ndimage`, on blocks that lie in cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastconv.typing import Array


def _shifted(x: Array, axis: int, start: int, count: int) -> Array:
    return x[(slice(None),) * axis + (slice(start, start + count),)]


def _twice(x: Array, axis: int, size: int, combine: np.ufunc) -> Array:
    """Windows of twice the size, from those of `size` pixels."""
    count = x.shape[axis] - size
    result: Array = combine(_shifted(x, axis, 0, count), _shifted(x, axis, size, count))
    return result


def extrema(x: Array, axis: int, size: int, combine: np.ufunc) -> Array:
    """The maxima or minima of all windows of `size` pixels within `x`: the last two windows overlap."""
    count, power = x.shape[axis] - size + 1, 1
    while 2 * power <= size:
        x, power = _twice(x, axis, power, combine), 2 * power
    if power == size:
        return x
    result: Array = combine(_shifted(x, axis, 0, count), _shifted(x, axis, size - power, count))
    return result


def sums(x: Array, axis: int, size: int) -> Array:
    """The sums of all windows of `size` pixels within `x`, in its dtype: one part for each binary digit of `size`."""
    count, power, start = x.shape[axis] - size + 1, 1, 0
    total = None
    while True:
        if size & power:
            part = _shifted(x, axis, start, count)
            total = part if total is None else np.add(total, part)
            start += power
        if 2 * power > size:
            assert total is not None
            return total
        x, power = _twice(x, axis, power, np.add), 2 * power


def ranks_along(x: Array, axis: int, size: int, rank: int) -> Array:
    """The pixel of that rank among each `size` neighbours along `axis`; where NaN is among them, any pixel.

    Every pixel is known by its place in sorted order. From the highest bit of these places on, all pixels are divided
    into those with 0 and those with 1, in their order; counting the former within a window says which way its rank
    goes, and where the window lies then (F. Claude and G. Navarro, "The wavelet matrix", SPIRE 2012).
    """
    lines = np.moveaxis(x, axis, -1)
    flat, count = lines.ravel(), lines.shape[-1] - size + 1
    order = flat.argsort()
    places = np.empty(flat.size, np.int32)
    places[order] = np.arange(flat.size, dtype=np.int32)
    starts = np.arange(flat.size).reshape(-1, lines.shape[-1])[:, :count].ravel()
    ends = np.stack([starts, starts + size])
    ranks, found = np.full(starts.size, rank), np.zeros(starts.size, np.intp)
    before = np.zeros(flat.size + 1, np.intp)
    for bit in reversed(range(int(flat.size - 1).bit_length())):
        low = places & (1 << bit) == 0
        np.cumsum(low, out=before[1:])
        at = before.take(ends, mode="clip")
        fewer = at[1] - at[0]
        high = ranks >= fewer
        ranks -= fewer * high
        found |= high.astype(np.intp) << bit
        ends += before[-1] - 2 * at
        ends *= high
        ends += at
        places = np.concatenate([places.compress(low), places.compress(~low)])
    return np.moveaxis(flat[order[found]].reshape(*lines.shape[:-1], count), -1, axis)


def extrema_within(x: Array, footprint: NDArray[np.bool_], combine: np.ufunc) -> Array:
    """The maxima or minima of the pixels of a footprint, for every place where that lies within `x`.

    A run of neighbours along the last axis is two windows of a power of two.
    """
    shape = tuple(size - taps + 1 for size, taps in zip(x.shape, footprint.shape, strict=True))
    last = x.ndim - 1
    windows, result = {1: x}, None
    for *corner, start, stop in runs(footprint):
        power = 1 << ((stop - start).bit_length() - 1)
        while max(windows) < power:
            size = max(windows)
            windows[2 * size] = _twice(windows[size], last, size, combine)
        rows = tuple(slice(step, step + count) for step, count in zip(corner, shape, strict=False))
        for first in {start, stop - power}:
            part = windows[power][(*rows, slice(first, first + shape[-1]))]
            if result is None:
                result = part.copy()
            else:
                combine(result, part, out=result)
    assert result is not None
    return result


def runs(footprint: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Neighbours along the last axis of a footprint: where their row is, where they start and where they end."""
    edges = np.diff(np.pad(footprint, [(0, 0)] * (footprint.ndim - 1) + [(1, 1)]).astype(np.int8), axis=-1)
    starts, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return [(*map(int, start), int(stop)) for start, stop in zip(starts, stops[:, -1], strict=True)]
