"""What `precision="strict"` promises of numbers that are not finite, or far larger than the others.

Winograd's transforms and Fourier's mix the pixels of a tile: such a number, or the rounding of it, reaches results of
windows that do not hold it. Sums do not. So a strict convolution looks at its image before it takes a transform.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fastconv.backends.protocol import Backend
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array

# A number is far from the others where it is more than so many times as large as they are in the mean.
FAR_APART = {np.dtype(np.float32): 256.0, np.dtype(np.float64): 1e5}
_BLOCK = 1 << 15  # numbers looked at together, which stay in the cache


def is_even(x: Array) -> bool:
    """Whether every number of `x`, float32 or float64, is finite, and none far larger than the mean of the others."""
    flat = x.reshape(-1)
    buffer = np.empty(min(_BLOCK, flat.size), x.dtype)
    largest = total = 0.0
    for start in range(0, flat.size, _BLOCK):
        part = flat[start : start + _BLOCK]
        magnitudes = np.abs(part, out=buffer[: part.size])
        most = float(magnitudes.max())
        if not math.isfinite(most):
            return False
        largest = max(largest, most)
        total += float(np.add.reduce(magnitudes, dtype=np.float64 if most > 1e30 else None))
    return largest * (flat.size - 1) <= FAR_APART[x.dtype] * max(total - largest, 0.0) or flat.size < 2


def mixes_pixels(backend: Backend, problem: ConvProblem, once: bool = False) -> bool:
    """Whether it matters what the numbers are: transforms are to be taken where results are to be strict."""
    return problem.precision == "strict" and backend.transforms(problem, once)


def confined(backend: Backend, problem: ConvProblem, x: Array, once: bool) -> ConvProblem:
    """The problem, or the same one by sums where `x` has numbers that a transform would carry too far."""
    if not mixes_pixels(backend, problem, once) or is_even(x):
        return problem
    return replace(problem, algorithm="direct")
