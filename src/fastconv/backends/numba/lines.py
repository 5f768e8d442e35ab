"""Pieces of rows of pixels: which of them lie inside an image, and copying them.

Used by the kernels that look at windows of channels-first images.
"""

from __future__ import annotations

from typing import Any

from fastconv.backends.numba.compile import device, unsigned
from fastconv.backends.numba.simd import make_sweep
from fastconv.typing import Array


@device
def inside(offset: int, step: int, pixels: int, count: int) -> tuple[int, int]:
    """The range of `i` in ``range(count)`` for which ``offset + i * step`` is in ``range(pixels)``."""
    low = min(max(0, (step - 1 - offset) // step), count)
    return low, max(min(count, (pixels - 1 - offset) // step + 1), low)


@device
def count_up(numbers: Array, step: int) -> None:
    """``numbers[i] = i * step``. (`np.arange` takes a third of a second to compile.)"""
    for i in range(numbers.size):
        numbers[i] = i * step


@device
def clear(array: Array, start: int, stop: int) -> None:
    for i in range(unsigned(start), unsigned(stop)):
        array[i] = 0


def _same(builder: Any, dtype: Any, old: Any, new: Any) -> Any:
    return new


_copy_row, _copy_half = make_sweep(_same, 1), make_sweep(_same, 2)


@device
def copy(source: Array, origin: int, step: int, count: int, target: Array, start: int) -> None:
    """``target[start + i] = source[origin + i * step]`` for ``i < count``."""
    if step == 1:
        _copy_row(source, origin, count, target, start)
    elif step == 2:
        _copy_half(source, origin, count, target, start)
    else:
        first, to, stride = unsigned(origin), unsigned(start), unsigned(step)
        for i in range(unsigned(count)):
            target[to + i] = source[first + i * stride]
