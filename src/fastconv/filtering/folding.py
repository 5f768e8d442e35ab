"""Windows that are longer than what they can see, as shorter ones.

Beyond an array lies one number (``zeros``, ``replicate``), or the array again and again (the other borders), so that no
window sees more than that. Called by the extrema, the means, the sums and the ranks before any kernel is: neither time
nor memory grows with a window that is larger than the array.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.filtering.blocks import Reach
from fastconv.typing import Array, PaddingMode

_LONG = 1024  # pixels of a window, up to which adding up all of them is quick enough


def _period(size: int, mode: PaddingMode) -> int | None:
    """After how many pixels a border repeats itself; None where it is one number on each side."""
    if mode == "circular":
        return size
    if mode == "symmetric":
        return 2 * size
    if mode == "reflect":
        return max(1, 2 * (size - 1))
    return None


def shortened(size: int, reach: Reach) -> Reach:
    """A window along an axis of `size` pixels that sees the same ones, each at least once."""
    period = _period(size, reach.mode)
    if not size or (period is not None and reach.extent < period):
        return reach
    if period is None:
        return Reach(min(reach.before, size), min(reach.after, size), reach.mode)
    before = min(reach.before, period - 1)
    return Reach(before, period - 1 - before, reach.mode)


class Extra(NamedTuple):
    """So many times the sum of the window of one pixel, the same for every pixel of the axis."""

    times: int
    pixel: int
    reach: Reach


def counted(size: int, reach: Reach) -> tuple[Reach, list[Extra]]:
    """A window whose sum is that of the given one, less these extras."""
    period = _period(size, reach.mode)
    if not size or reach.extent < max(_LONG, 2 * (period or 0)):
        return reach, []
    if period is None:
        shorter = shortened(size, reach)
        before = Extra(reach.before - shorter.before, 0, Reach(1, -1, reach.mode))
        after = Extra(reach.after - shorter.after, size - 1, Reach(-1, 1, reach.mode))
        return shorter, [extra for extra in (before, after) if extra.times]
    times, rest = divmod(reach.extent + 1, period)
    first = reach.before % period
    shorter = Reach(first, period + rest - 1 - first, reach.mode)
    return shorter, [Extra(times - 1, 0, Reach(0, period - 1, reach.mode))]


class Folded(NamedTuple):
    """Kernels that together weigh as a longer one, and along each axis where its pixels lie in theirs."""

    kernels: list[Array]
    reaches: list[Reach]
    places: list[NDArray[np.int64]]


def folded(shape: tuple[int, ...], kernel: Array | None, reaches: Sequence[Reach]) -> Folded | None:
    """The weights of equal pixels added up; None where the kernel is no longer than what it sees.

    Positive and negative ones are added up apart: they must not cancel where a pixel is not finite. Without a kernel
    all weights are 1.
    """
    shorter = [shortened(size, each) for size, each in zip(shape, reaches, strict=True)]
    if shorter == list(reaches):
        return None
    places = [_places(*each) for each in zip(shape, reaches, shorter, strict=True)]
    lengths = tuple(each.extent + 1 for each in shorter)
    if kernel is None:
        lines = (np.bincount(each, minlength=length) for each, length in zip(places, lengths, strict=True))
        return Folded([reduce(np.multiply.outer, lines)], shorter, places)
    index = np.ravel_multi_index(np.ix_(*places), lengths).ravel()
    weights = kernel.ravel()
    negative = weights < 0
    parts = [weights]
    if negative.any() and not negative[weights != 0].all():
        parts = [np.where(negative, 0, weights), np.where(negative, weights, 0)]
    count = int(np.prod(lengths))
    return Folded([np.bincount(index, part, count).reshape(lengths) for part in parts], shorter, places)


def _places(size: int, reach: Reach, shorter: Reach) -> NDArray[np.int64]:
    """Where the pixels of a window lie in a shorter one."""
    steps = np.arange(-reach.before, reach.after + 1) + shorter.before
    period = _period(size, reach.mode)
    if shorter == reach:
        return steps
    return np.clip(steps, 0, shorter.extent) if period is None else steps % period
