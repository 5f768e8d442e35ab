"""Sums over segments of an array, and affine maps of them: what normalisation is made of; called by the backend."""

from __future__ import annotations

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import kernel, optional, read, unsigned, write
from fastconv.backends.protocol import Segments
from fastconv.typing import Array


def segment_sums(x: Array, other: Array | None, centre: Array, segments: Segments, out: Array) -> None:
    """As `backends/protocol.py` says."""
    outer, steps, groups, run = segments
    items = outer * groups if run > 1 else outer
    arguments = read(x), optional(other, x.dtype), read(centre), write(out), steps, groups, run
    parallel.run(_sum_runs if run > 1 else _sum_columns, items, 2 * x.size, *arguments)


@kernel
def _sum_runs(
    start: int,
    stop: int,
    x: Array,
    other: Array,
    centre: Array,
    out: Array,
    steps: int,
    groups: int,
    run: int,
) -> None:
    """An item is a segment."""
    segments = out.size // 2
    for item in range(start, stop):
        total, product, middle = 0.0, 0.0, centre[item]
        for s in range(steps):
            at = unsigned(((item // groups * steps + s) * groups + item % groups) * run)
            for i in range(unsigned(run)):
                above = np.float64(x[at + i] - middle)
                own = np.float64(other[at + i]) if other.size > 0 else above
                total += own
                product += own * above
        out[item] = total
        out[segments + item] = product


@kernel
def _sum_columns(
    start: int,
    stop: int,
    x: Array,
    other: Array,
    centre: Array,
    out: Array,
    steps: int,
    groups: int,
    run: int,
) -> None:
    """An item is all groups, which lie side by side, of one of the outer ones."""
    segments = unsigned(out.size // 2)
    for item in range(start, stop):
        first = unsigned(item * groups)
        for g in range(unsigned(groups)):
            out[first + g] = 0
            out[segments + first + g] = 0
        for s in range(steps):
            at = unsigned((item * steps + s) * groups)
            for g in range(unsigned(groups)):
                above = np.float64(x[at + g] - centre[first + g])
                own = np.float64(other[at + g]) if other.size > 0 else above
                out[first + g] += own
                out[segments + first + g] += own * above


def segment_affine(
    x: Array,
    centre: Array,
    scale: Array,
    shift: Array,
    other: Array | None,
    factor: Array | None,
    segments: Segments,
    out: Array,
) -> None:
    """As `backends/protocol.py` says."""
    outer, steps, groups, run = segments
    numbers = read(centre), read(scale), read(shift), optional(factor, x.dtype)
    arguments = read(x), optional(other, x.dtype), *numbers, write(out), steps, groups, run
    parallel.run(_affine, outer * steps, x.size, *arguments)


@kernel
def _affine(
    start: int, stop: int, x: Array, other: Array, centre: Array, scale: Array, shift: Array, factor: Array,
    out: Array, steps: int, groups: int, run: int,
) -> None:  # fmt: skip
    """An item is all groups of a step."""
    for item in range(start, stop):
        for g in range(groups):
            segment = item // steps * groups + g
            at = unsigned((item * groups + g) * run)
            middle, times, plus = centre[segment], scale[segment], shift[segment]
            if other.size > 0:
                for i in range(unsigned(run)):
                    out[at + i] = (x[at + i] - middle) * times + plus + other[at + i] * factor[segment]
            else:
                for i in range(unsigned(run)):
                    out[at + i] = (x[at + i] - middle) * times + plus
