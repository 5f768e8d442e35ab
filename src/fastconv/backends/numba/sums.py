"""Sums of channels over a batch and its planes; called by the backend.

Pixels are summed in lanes, in parts that go to totals (`totals.py`), and lanes are added in pairs: that errs little,
and in the same way for any number of threads.
"""

from __future__ import annotations

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear
from fastconv.backends.numba.totals import add_part, settle_every, take_all
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout

# Sums side by side, and numbers that an item adds.
_LANES = 128
_RUN = 2**15


def channel_sums(x: Array, layout: Layout, out: Array) -> None:
    """`out` (C,): the sum of every channel over the batch and its planes."""
    if channels_last(layout):
        lines, length, channels = 1, x.size, x.shape[3]
    else:
        lines, length, channels = x.shape[0] * x.shape[1], x.shape[2] * x.shape[3], 1
    lanes = min(-(-_LANES // channels) * channels, length)
    run = max(1, _RUN // lanes) * lanes
    runs = -(-length // run)
    sums = np.empty(lines * runs * channels, x.dtype)
    parallel.run(_sum, lines * runs, x.size / 4, read(x), length, run, runs, lanes, channels, sums)
    # (image, channel, run) or (run, channel)
    groups, inner = (runs, 1) if channels_last(layout) else (x.shape[0], runs)
    _add(read(sums), groups, inner, write(out))


@kernel
def _sum(
    start: int, stop: int, x: Array, length: int, run: int, runs: int, lanes: int, channels: int, sums: Array
) -> None:
    """An item is a run of `channels` that alternate, of a line of `length` numbers."""
    line, totals, rests = np.empty(lanes, x.dtype), np.empty(lanes, x.dtype), np.empty(lanes, x.dtype)
    for item in range(start, stop):
        first = item % runs * run
        last = min(first + run, length)
        clear(line, 0, lanes)
        terms = 0
        for p in range(first, last, lanes):
            settle_every(terms, line, lanes, totals, rests)
            origin = unsigned(item // runs * length + p)
            for i in range(unsigned(min(lanes, last - p))):
                line[i] += x[origin + i]
            terms += 1
        take_all(terms, line, lanes, totals, rests)
        count = lanes // channels
        while count > 1:
            half = (count + 1) // 2
            for i in range(unsigned((count - half) * channels)):
                line[i] += line[unsigned(half * channels) + i]
            count = half
        for c in range(channels):
            sums[item * channels + c] = line[c]


@kernel
def _add(sums: Array, groups: int, inner: int, out: Array) -> None:
    for c in range(out.size):
        total, rest = out.dtype.type(0), out.dtype.type(0)
        for group in range(groups):
            for i in range(inner):
                total, rest = add_part(total, rest, sums[(group * out.size + c) * inner + i])
        out[c] = total + rest
