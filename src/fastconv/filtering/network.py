"""Ranks by sorting networks: which minima and maxima give the element of a rank, the same for every window.

Called by the rank filters for windows of few pixels. The network is Batcher's merge exchange (Knuth, The Art of
Computer Programming, volume 3, algorithm 5.2.2M), without what the wanted element does not depend on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.caches import kept
from fastconv.filtering.blocks import Reach
from fastconv.filtering.pictures import KernelCall, as_pictures
from fastconv.typing import Array, BackendName

MOST_PIXELS = 81  # of a window for which a network is faster than counting or partitioning
MOST_COUNTED = (1 << 16) - 1  # of one whose pixels are counted


class Exchange(NamedTuple):
    """Two elements in order; None for a result that nobody reads."""

    low: int
    high: int
    keeps_low: bool
    keeps_high: bool


def merge_exchange(count: int) -> list[tuple[int, int]]:
    """The pairs that sort `count` elements, compared one after the other."""
    pairs = []
    top = 1 << max(0, (count - 1).bit_length() - 1)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return pairs


@kept()
def selection(count: int, rank: int) -> tuple[Exchange, ...]:
    """What finds the element of that rank among `count`: it ends at that place."""
    wanted, steps = {rank}, []
    for low, high in reversed(merge_exchange(count)):
        if low in wanted or high in wanted:
            steps.append(Exchange(low, high, low in wanted, high in wanted))
            wanted |= {low, high}
    return tuple(reversed(steps))


class Network(NamedTuple):
    """What is compared, and at which place the result is then."""

    steps: tuple[Exchange, ...]
    place: int


def extreme_steps(footprint: NDArray[np.bool_], combine: np.ufunc) -> Network:
    """The maximum or the minimum of the pixels of a footprint, one after the other."""
    last = int(np.count_nonzero(footprint)) - 1
    if combine is np.maximum:
        return Network(tuple(Exchange(i, i + 1, False, True) for i in range(last)), last)
    return Network(tuple(Exchange(i, i + 1, True, False) for i in reversed(range(last))), 0)


def ranked_pictures(
    x: Array,
    footprint: NDArray[np.bool_],
    network: Network,
    reaches: Sequence[Reach],
    held: Any,
    out: Array,
    backend: BackendName | None,
) -> KernelCall | None:
    """The pixels that the network finds, in a single way through the array, where the backend has one;
    None where not.

    A network without steps stands for counting, which finds the rank `place` in whole boxes of bytes.
    """
    count = int(np.count_nonzero(footprint))
    if x.dtype != out.dtype or count < 2:
        return None
    if not network.steps and (x.dtype.itemsize > 1 or count < footprint.size or count > MOST_COUNTED):
        return None
    pictures = as_pictures(x, out, reaches, float(held), backend)
    if pictures is None:
        return None
    row, pixel = pictures.axes
    corners = np.argwhere(footprint)
    offsets = np.zeros((count, 2), np.int64)
    for place, axis in enumerate((row, pixel)):
        if axis is not None:
            offsets[:, place] = corners[:, axis]
    return pictures.call(
        pictures.filters.network, pictures.window, offsets, _exchanges(network.steps), network.place
    )


@kept()
def _exchanges(steps: tuple[Exchange, ...]) -> NDArray[np.int32]:
    """The steps as kernels read them."""
    table = [(step.low, step.high, step.keeps_low + 2 * step.keeps_high) for step in steps]
    exchanges = np.array(table, np.int32).reshape(-1, 3)
    exchanges.flags.writeable = False
    return exchanges


def select(values: list[Array], rank: int) -> Array:
    """The element of that rank, place by place, among arrays of one shape, which are left as they are."""
    arrays = list(values)
    own = [False] * len(arrays)
    spare: list[Array] = []
    for low, high, keeps_low, keeps_high in selection(len(arrays), rank):
        a, b = arrays[low], arrays[high]
        small = large = None
        if keeps_low:
            small = np.minimum(a, b, out=spare.pop() if spare else None)
        if keeps_high:
            large = np.maximum(a, b, out=spare.pop() if spare else None)
        spare += [array for place, array in ((low, a), (high, b)) if own[place]]
        for place, array in ((low, small), (high, large)):
            if array is not None:
                arrays[place], own[place] = array, True
            else:
                own[place] = False
    return arrays[rank]
