"""Half precision to float32 and back, for every backend: in the extension, on all threads, or without one by NumPy.

Called by `arrays.py`. The bits are the same either way, and so is the warning of an overflow.
"""

from __future__ import annotations

import numpy as np

from fastconv.execution.memory import allocator, extension
from fastconv.settings.threads import get_num_threads
from fastconv.typing import Array

HALF, SINGLE = np.dtype(np.float16), np.dtype(np.float32)

_LARGEST = np.finfo(SINGLE).max


def to_floats(halves: Array) -> Array:
    """A new C-contiguous array."""
    engine = extension()
    if engine is None:
        return np.require(halves, SINGLE, ["C", "A"])
    halves = np.require(halves, None, ["C", "A"])
    floats = allocator(halves.size * SINGLE.itemsize)(halves.shape, SINGLE)
    engine.to_floats(halves, floats, get_num_threads())
    return floats


def to_halves(floats: Array, halves: Array) -> None:
    """``halves[...] = floats``, of C-contiguous arrays."""
    engine = extension()
    if engine is None:
        halves[...] = floats
    elif engine.to_halves(floats, halves, get_num_threads()):
        _LARGEST.astype(HALF)  # which warns, raises or is silent, as `np.errstate` has it
