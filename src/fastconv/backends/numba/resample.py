"""An axis resampled by tables; called by the backend."""

from __future__ import annotations

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear
from fastconv.backends.numba.totals import PART, settle_every, take_all
from fastconv.typing import Array


def resample(x: Array, starts: Array, counts: Array, weights: Array, out: Array) -> None:
    """As `backends/protocol.py` says."""
    outer, size, inner = x.shape
    count, taps = weights.shape
    arguments = read(x), read(starts), read(counts), read(weights), write(out), size, count, inner, taps
    parallel.run(_resample, outer * count, out.size * (taps + 1), *arguments)


@kernel
def _resample(
    start: int, stop: int, x: Array, starts: Array, counts: Array, weights: Array, out: Array,
    size: int, count: int, inner: int, taps: int,
) -> None:  # fmt: skip
    """An item is an output's row of the inner axis."""
    room = inner if taps > PART else 0
    totals, rests = np.empty(room, out.dtype), np.empty(room, out.dtype)
    for item in range(start, stop):
        o = item % count
        own = out[item * inner : (item + 1) * inner]
        clear(own, 0, inner)
        for t in range(counts[o]):
            settle_every(t, own, inner, totals, rests)
            at, weight = unsigned((item // count * size + starts[o] + t) * inner), weights[o * taps + t]
            for i in range(unsigned(inner)):
                own[i] += x[at + i] * weight
        take_all(counts[o], own, inner, totals, rests)
