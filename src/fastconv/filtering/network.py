"""Ranks by sorting networks: which minima and maxima give the element of a rank, the same for every window.

Called by the rank filters for windows of few pixels. The network is Batcher's merge exchange (Knuth, The Art of
Computer Programming, volume 3, algorithm 5.2.2M), without what the wanted element does not depend on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastconv.caches import kept
from fastconv.typing import Array


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
