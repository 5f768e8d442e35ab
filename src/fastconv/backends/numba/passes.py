"""Cuts a convolution into passes: sums over fixed taps, whose results lie on a regular grid.

A convolution is one pass. A transposed one has a pass for each remainder of (row + padding) modulo the stride, and
the same of columns, because only every stride-th tap of the kernel meets a pixel there. So every result is gathered
by the thread that owns it. `conv.py` runs the passes, `weights.py` packs the weights of each.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from fastconv.problem import ConvProblem


class Axis(NamedTuple):
    """One axis of a pass: result ``start + i * stride`` meets pixel ``offsets[t] + i * step`` with tap `taps[t]`."""

    taps: tuple[int, ...]
    offsets: tuple[int, ...]
    step: int
    count: int
    start: int
    stride: int


def tap_classes(kernel: int, stride: int, dilation: int) -> list[tuple[int, tuple[int, ...]]]:
    """For a transposed convolution each remainder that some tap meets, and its taps."""
    classes: dict[int, list[int]] = {}
    for tap in range(kernel):
        classes.setdefault(tap * dilation % stride, []).append(tap)
    return [(remainder, tuple(taps)) for remainder, taps in classes.items()]


@lru_cache(maxsize=1024)
def axes(problem: ConvProblem, axis: int) -> tuple[Axis | None, ...]:
    """The passes along an axis (0 vertical, 1 horizontal), None where the result is too small to hold one."""
    kernel, stride, dilation = problem.kernel[axis], problem.stride[axis], problem.dilation[axis]
    before = problem.padding[2 * axis]
    if not problem.transposed:
        offsets = tuple(t * dilation - before for t in range(kernel))
        return (Axis(tuple(range(kernel)), offsets, stride, problem.out_size[axis], 0, 1),)
    size = problem.size[axis]
    found: list[Axis | None] = []
    for remainder, taps in tap_classes(kernel, stride, dilation):
        start = (remainder - before) % stride
        count = -((start - size) // stride)
        offsets = tuple((start + before - t * dilation) // stride for t in taps)
        found.append(Axis(taps, offsets, 1, count, start, stride) if count > 0 else None)
    return tuple(found)


def covers(problem: ConvProblem) -> bool:
    """Whether every result has a tap; the others are only bias, residual and activation."""
    if not problem.transposed:
        return True
    sizes = zip(problem.kernel, problem.stride, problem.dilation, strict=True)
    return all(len(tap_classes(k, s, d)) == s for k, s, d in sizes)


def slots(axis: Axis, band: int) -> tuple[list[int], list[int]]:
    """Where a band of results finds its pixels in a copy that makes every step 1.

    Returns for each tap the slot of its first pixel (result `i` of the band is at that slot + i), and for each slot
    the pixel it holds, relative to that of the band's first result. Taps share slots where that saves any.
    """
    first = [0] * len(axis.taps)
    pixels: list[int] = []
    previous = None
    for t in sorted(range(len(axis.taps)), key=lambda t: (axis.offsets[t] % axis.step, axis.offsets[t])):
        offset = axis.offsets[t]
        shared = False
        if previous is not None:
            apart, remainder = divmod(offset - axis.offsets[previous], axis.step)
            shared = remainder == 0 and apart <= band
        first[t] = first[previous] + apart if shared and previous is not None else len(pixels)
        pixels.extend(offset + (i - first[t]) * axis.step for i in range(len(pixels), first[t] + band))
        previous = t
    return first, pixels
