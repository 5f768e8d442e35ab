"""Cuts a convolution into passes: sums over fixed taps, whose results lie on a regular grid.

A convolution is one pass. A transposed one has a pass for each remainder of (row + padding) modulo the
stride, and the same of columns, because only every so many taps of the kernel meet a pixel there. So every
result is gathered by the thread that owns it. `geometry.py` makes tables of it, `weights.py` packs weights.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fastconv.caches import kept_up_to
from fastconv.problem.convolution import ConvProblem


class AxisPass(NamedTuple):
    """An axis of a pass: result ``start + i * stride`` meets `taps[t]` at pixel ``offsets[t] + i * step``."""

    taps: tuple[int, ...]
    offsets: tuple[int, ...]
    step: int
    results: int
    start: int
    stride: int


def tap_classes(problem: ConvProblem, axis: int) -> list[tuple[int, tuple[int, ...]]]:
    """The taps of each pass, with the remainder that they meet."""
    kernel, stride, dilation = problem.kernel[axis], problem.stride[axis], problem.dilation[axis]
    if not problem.transposed:
        return [(0, tuple(range(kernel)))]
    classes: dict[int, list[int]] = {}
    for tap in range(kernel):
        classes.setdefault(tap * dilation % stride, []).append(tap)
    return [(remainder, tuple(taps)) for remainder, taps in classes.items()]


def pass_count(problem: ConvProblem, axis: int) -> int:
    """How many passes `tap_classes` has."""
    stride = problem.stride[axis]
    return (
        min(problem.kernel[axis], stride // math.gcd(stride, problem.dilation[axis]))
        if problem.transposed
        else 1
    )


@kept_up_to(8 << 20)
def axis_passes(problem: ConvProblem, axis: int) -> tuple[AxisPass | None, ...]:
    """The passes along an axis (0 vertical, 1 horizontal), None where the result is too small to hold one."""
    stride, dilation, before = problem.stride[axis], problem.dilation[axis], problem.padding[2 * axis]
    found: list[AxisPass | None] = []
    for remainder, taps in tap_classes(problem, axis):
        if problem.transposed:
            start = (remainder - before) % stride
            count = -((start - problem.size[axis]) // stride)
            offsets = tuple((start + before - t * dilation) // stride for t in taps)
            found.append(AxisPass(taps, offsets, 1, count, start, stride) if count > 0 else None)
        else:
            offsets = tuple(t * dilation - before for t in taps)
            found.append(AxisPass(taps, offsets, stride, problem.out_size[axis], 0, 1))
    return tuple(found)


def covers(problem: ConvProblem) -> bool:
    """Whether every result meets a tap; the others are only bias, residual and activation."""
    return not problem.transposed or all(pass_count(problem, a) == problem.stride[a] for a in (0, 1))


def slots(axis: AxisPass, band: int) -> tuple[list[int], list[int]]:
    """Where a band of results finds its pixels in a copy that makes every step 1.

    Returns for each tap the slot of its first pixel (result `i` of the band is at that slot + i), and for
    each slot the pixel it holds, relative to that of the band's first result. Taps share what slots they can.
    """
    first = [0] * len(axis.taps)
    pixels: list[int] = []
    previous = None
    for t in sorted(range(len(axis.taps)), key=lambda t: (axis.offsets[t] % axis.step, axis.offsets[t])):
        first[t] = len(pixels)
        if previous is not None:
            apart, remainder = divmod(axis.offsets[t] - axis.offsets[previous], axis.step)
            if remainder == 0 and apart <= band:
                first[t] = first[previous] + apart
        filled = len(pixels) - first[t]
        pixels.extend(axis.offsets[t] + i * axis.step for i in range(filled, band))
        previous = t
    return first, pixels
