"""Gradient of a convolution's weights; called by the backend.

`grad_plan.py` says how; here the chunks' sums are added, and put where the weights are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import kernel, read, write
from fastconv.backends.numba.grad_dots import channel_dots, plane_sums
from fastconv.backends.numba.grad_plan import make_plan
from fastconv.backends.numba.grad_tile import tile_sums
from fastconv.backends.numba.lines import clear
from fastconv.backends.numba.sums import channel_sums
from fastconv.backends.numba.totals import settle
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array

# Rows of sums that an item adds up.
_ROWS = 64
# What an item of the sums may take, in nanoseconds: long sums are made in passes, for signals to be handled between
# them.
_LONG = 50_000_000
# Sums that an item moves to the totals.
_SETTLED = 4096


def conv_weight_gradient(
    problem: ConvProblem, x: Array, grad_output: Array, out: Array, bias: Array | None
) -> None:
    plan = make_plan(problem)
    g = plan.reduction
    left, right = (grad_output, x) if plan.swapped else (x, grad_output)
    # All take the same arguments; tiles are compiled for a layout.
    compute: Any = tile_sums
    layout: tuple[int | None, ...] = (None if problem.channels_last else 1,)
    if plan.dots:
        compute, layout = channel_dots if problem.channels_last else plane_sums, ()
    sums = np.empty(g.chunks * plan.lane_at.size * plan.a_rows.size, x.dtype)

    def one_pass(first: int, units: int, work: float) -> None:
        parallel.run(
            compute, plan.items, work, read(left), read(right), sums, g._replace(first=first, units=units),
            plan.slot_rows, plan.columns, plan.a_rows, *layout,
        )  # fmt: skip

    sum_units(g.units, plan.items, problem.flops / (20 if plan.dots else 80), sums, one_pass)
    place_sums(sums, plan.lane_at, plan.rows, plan.a_rows.size, g.lanes, g.chunks, plan.row_step, out)
    if bias is not None:
        channel_sums(grad_output, problem.layout, bias)


def sum_units(
    units: int, items: int, work: float, sums: Array, one_pass: Callable[[int, int, float], None]
) -> None:
    """The sums of so many units, by ``one_pass(first, units, work)`` over some of them, each in so many items."""
    passes = max(1, min(units, math.ceil(work / items / _LONG)))
    if passes == 1:
        one_pass(0, units, work)
        return
    totals, rests = np.zeros_like(sums), np.zeros_like(sums)
    for number in range(passes):
        first, last = units * number // passes, units * (number + 1) // passes
        one_pass(first, last - first, work / passes)
        parallel.run(_settle, -(-sums.size // _SETTLED), sums.size, sums, totals, rests)
    np.add(totals, rests, out=sums)


@kernel
def _settle(start: int, stop: int, sums: Array, totals: Array, rests: Array) -> None:
    settle(sums, start * _SETTLED, min(stop * _SETTLED, sums.size), totals, rests)


def place_sums(
    sums: Array, lane_at: Array, rows: int, filled: int, lanes: int, chunks: int, row_step: int, out: Array
) -> None:
    """Add the chunks of `sums` (chunk, panel, row, lane), whose rows end in some that fill a tile."""
    items = lane_at.size // lanes * -(-rows // _ROWS)
    parallel.run(
        _place, items, sums.size, read(sums), lane_at, rows, filled, lanes, chunks, row_step, write(out)
    )  # fmt: skip


@kernel
def _place(
    start: int, stop: int, sums: Array, lane_at: Array, rows: int, filled: int, lanes: int, chunks: int,
    row_step: int, out: Array,
) -> None:  # fmt: skip
    """An item is some rows of a panel."""
    total = np.empty(_ROWS * lanes, sums.dtype)
    blocks = (rows + _ROWS - 1) // _ROWS
    for item in range(start, stop):
        panel, row = item // blocks, item % blocks * _ROWS
        count = min(_ROWS, rows - row)
        clear(total, 0, total.size)
        for chunk in range(chunks):
            origin = ((chunk * (lane_at.size // lanes) + panel) * filled + row) * lanes
            for i in range(count * lanes):
                total[i] += sums[origin + i]
        for block in range(0, count, 16):
            # Either the rows or the lanes are neighbours in the weights.
            for lane in range(lanes):
                at = lane_at[panel * lanes + lane]
                if at >= 0:
                    for r in range(block, min(block + 16, count)):
                        out[at + (row + r) * row_step] = total[r * lanes + lane]
