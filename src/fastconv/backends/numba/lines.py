"""Pieces of rows of pixels: which of them lie inside an image, and copying them.

Used by the kernels that look at windows of channels-first images.
"""

from __future__ import annotations

from fastconv.backends.numba.compile import device, unsigned
from fastconv.typing import Array


@device
def inside(offset: int, step: int, pixels: int, count: int) -> tuple[int, int]:
    """The range of `i` in ``range(count)`` for which ``offset + i * step`` is in ``range(pixels)``."""
    low = min(max(0, (step - 1 - offset) // step), count)
    return low, max(min(count, (pixels - 1 - offset) // step + 1), low)


@device
def clear(array: Array, start: int, stop: int) -> None:
    for i in range(unsigned(start), unsigned(stop)):
        array[i] = 0


@device
def copy(source: Array, origin: int, step: int, count: int, target: Array, start: int) -> None:
    """``target[start + i] = source[origin + i * step]`` for ``i < count``."""
    first, to, stride = unsigned(origin), unsigned(start), unsigned(step)
    if step == 1:
        for i in range(unsigned(count)):
            target[to + i] = source[first + i]
    else:
        for i in range(unsigned(count)):
            target[to + i] = source[first + i * stride]
