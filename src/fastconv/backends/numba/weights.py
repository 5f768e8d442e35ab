"""Packs the weights of a convolution in the order in which the register tiles read them."""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import kernel, read, table, unsigned
from fastconv.backends.numba.gemm import TILE_ROWS, TILE_VECTORS
from fastconv.backends.numba.passes import pass_count, tap_classes
from fastconv.backends.numba.simd import lanes
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array

# Each takes about 100 microseconds, whatever its work.
_MOST_PASSES = 256


def channel_counts(problem: ConvProblem) -> tuple[int, int]:
    """Channels of a group of the operand, and of the result."""
    inner, outer = problem.channels // problem.groups, problem.filters // problem.groups
    return (outer, inner) if problem.transposed else (inner, outer)


def method(problem: ConvProblem) -> str:
    """Which kernels do it: "tile"; for groups that would leave most of a tile empty "thin" or "channels".

    "channels" copies a channel for each result of its group, which is worth it for many groups, or few copies.
    "phases" is for transposed convolutions of more than `_MOST_PASSES` passes.
    """
    if pass_count(problem, 0) * pass_count(problem, 1) > _MOST_PASSES:
        return "phases"
    operands, results = channel_counts(problem)
    if not problem.channels_last:
        return "thin" if results <= 2 else "tile"
    few = results * 4 <= TILE_VECTORS * lanes(problem.dtype)
    copied = problem.groups > 1 or operands * results <= lanes(problem.dtype)
    return "channels" if few and copied else "tile"


def panel_width(problem: ConvProblem) -> int:
    """Filters that are packed side by side."""
    name = method(problem)
    if name == "channels":
        return channel_lanes(problem)[0]
    if name == "thin":
        return 1
    return TILE_VECTORS * lanes(problem.dtype) if problem.channels_last else TILE_ROWS


def channel_lanes(problem: ConvProblem) -> tuple[int, int]:
    """For "channels" the lanes of a block of pixels, and of each pixel in it.

    A block is whole vectors: many channels are padded to them; of few channels it holds several pixels.
    """
    results, vector = problem.groups * channel_counts(problem)[1], lanes(problem.dtype)
    padded = -(-results // vector) * vector
    return (padded, padded) if results >= 4 * vector else (math.lcm(results, vector), results)


def panels(problem: ConvProblem) -> int:
    """Blocks of `panel_width` filters in a group; with "channels" one holds all groups."""
    if method(problem) == "channels":
        return 1
    return -(-channel_counts(problem)[1] // panel_width(problem))


def form(problem: ConvProblem) -> Hashable:
    """What `pack` depends on besides the weights."""
    phases = (problem.stride, problem.dilation) if problem.transposed else None
    return problem.layout, problem.transposed, problem.groups, phases


def pack(problem: ConvProblem, weight: Array) -> tuple[Array, ...]:
    """For each pass (rows of passes first) an array (group, panel, tap, filter in panel), padded with 0.

    For "phases" one array (tap, group, channel, filter).
    """
    if method(problem) == "phases":
        filters_last = weight if problem.channels_last else weight.transpose(2, 3, 1, 0)
        grouped = filters_last.reshape(*problem.kernel, -1, problem.groups, channel_counts(problem)[0])
        return (read(np.ascontiguousarray(grouped.transpose(0, 1, 3, 4, 2))),)
    filters, channel_step, (row_step, column_step) = _strides(problem, weight)
    inner = np.arange(channel_counts(problem)[0]) * channel_step
    width = panel_width(problem)
    packed = []
    for _, down in tap_classes(problem, 0):
        for _, across in tap_classes(problem, 1):
            places = np.add.outer(np.array(down) * row_step, np.array(across) * column_step)
            order = np.add.outer(places, inner) if problem.channels_last else np.add.outer(inner, places)
            out = np.empty(filters.size * order.size, weight.dtype)
            arguments = read(weight), filters, table(order), width, out
            parallel.run(_pack, filters.size // width, out.size, *arguments)
            packed.append(read(out))
    return tuple(packed)


def _strides(problem: ConvProblem, weight: Array) -> tuple[Array, int, tuple[int, int]]:
    """In elements of `weight`: where each filter starts (-1: padding of a panel); steps to other taps.

    "Filter" and "channel" are those of the pass: a transposed convolution swaps the two axes of the weights.
    """
    steps = [s // weight.itemsize for s in weight.strides]
    if problem.channels_last:
        steps = [steps[3], steps[2], steps[0], steps[1]]
    filter_step, channel_step, *kernel_steps = steps
    operands, results = channel_counts(problem)
    group_step = results * filter_step
    if problem.transposed:
        filter_step, channel_step, group_step = channel_step, filter_step, operands * filter_step
    starts = np.add.outer(np.arange(problem.groups) * group_step, np.arange(results) * filter_step)
    length = panels(problem) * panel_width(problem)
    if method(problem) == "channels":
        starts, length = starts.reshape(1, -1), channel_lanes(problem)[1]
    starts = np.pad(starts, ((0, 0), (0, length - starts.shape[1])), constant_values=-1)
    if method(problem) == "channels":
        starts = np.tile(starts, panel_width(problem) // length)
    return table(starts), channel_step, (kernel_steps[0], kernel_steps[1])


@kernel
def _pack(start: int, stop: int, weight: Array, filters: Array, taps: Array, width: int, out: Array) -> None:
    """An item is a panel; a few taps at a time, because either taps or filters are neighbours in `weight`."""
    for panel in range(start, stop):
        target = panel * taps.size * width
        for block in range(0, taps.size, 16):
            for f in range(width):
                origin = filters[panel * width + f]
                for t in range(block, min(block + 16, taps.size)):
                    value = weight[unsigned(origin + taps[t])] if origin >= 0 else 0
                    out[unsigned(target + t * width + f)] = value
