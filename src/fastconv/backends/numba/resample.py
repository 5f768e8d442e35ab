"""An axis resampled by tables; called by the backend."""

from __future__ import annotations

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear
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
    for item in range(start, stop):
        o = item % count
        clear(out, item * inner, (item + 1) * inner)
        to = unsigned(item * inner)
        for t in range(counts[o]):
            at, weight = unsigned((item // count * size + starts[o] + t) * inner), weights[o * taps + t]
            for i in range(unsigned(inner)):
                out[to + i] += x[at + i] * weight
