"""Kernels that are products of lines, one along each axis: found by singular value decomposition, done line after line.

Called by `correlate` and `convolve` of `fastconv.ndimage`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fastconv.caches import kept
from fastconv.text import echo
from fastconv.typing import Array

SeparableLike = bool | Literal["auto"]
_LEAST = 16  # weights from which lines are faster
# How far from lines a kernel may be, of the sum of its magnitudes: as rounding them in float64, and in float32, does.
_EXACT, _HALF_A_DIGIT = 2e-15, 3e-8
_DIGITS = 53  # of a float64
_LARGE = 1 << 20  # of integers that have nothing in common, as those of random numbers
_FORCED = 1e-6  # how far from lines a kernel may be that is said to be separable: float32 rounds to 6e-8 of each weight


@dataclass(frozen=True)
class Lines:
    """Weights along axes of an array; their product differs from the kernel by `error`: the sum of the differences'
    magnitudes over that of the weights'."""

    weights: tuple[tuple[int, Array], ...]
    error: float

    def do_for(self, x: np.dtype[Any], out: np.dtype[Any], saturate: bool, wanted: SeparableLike) -> bool:
        """Is the result that of the kernel, but for rounding?"""
        if wanted is True:
            return True
        if out.kind != "f" and not (saturate and out.kind in "iu"):
            return False
        return self.error <= (_HALF_A_DIGIT if _sum_dtype(x, out) == np.float32 else _EXACT)

    def with_constants(self, cval: float) -> Iterator[tuple[int, Array, float]]:
        """Axis, weights and what lies beyond the array, which after a line is that times the line's sum."""
        for axis, weights in self.weights:
            yield axis, weights, cval
            cval *= float(weights.sum())


def between_lines(x: np.dtype[Any], out: np.dtype[Any], saturate: bool) -> np.dtype[Any]:
    """What lies between two lines: nothing is rounded or cut off there but sums, those that are cut off in the end as
    little as can be."""
    return _sum_dtype(x, out) if saturate or out.kind == "f" else np.dtype(np.float64)


def _sum_dtype(x: np.dtype[Any], out: np.dtype[Any]) -> np.dtype[Any]:
    narrow = np.result_type(x, np.float32) == np.float32 and (
        out == np.float32 or x.itemsize == out.itemsize == 1
    )
    return np.dtype(np.float32 if narrow else np.float64)


def lines_of(op: str, kernel: Array, separable: SeparableLike) -> Lines | None:
    """The lines of a kernel; None where it is to be done as it is."""
    if not (isinstance(separable, (bool, np.bool)) or separable == "auto"):
        raise ValueError(f"{op}: separable is {echo(separable)}, but needs True, False or 'auto'")
    long = sum(size > 1 for size in kernel.shape)
    if not separable or not kernel.ndim or (separable == "auto" and (long < 2 or kernel.size < _LEAST)):
        return None
    if kernel.dtype.kind == "c" or not np.all(np.isfinite(kernel)):
        found = None
    else:
        found = _lines(np.ascontiguousarray(kernel).tobytes(), kernel.shape)
    if separable == "auto":
        return found if found is not None and found.error <= _HALF_A_DIGIT else None
    if found is None:
        raise ValueError(f"{op}: separable is True, but weights are complex or not finite")
    if found.error > _FORCED:
        raise ValueError(
            f"{op}: separable is True, but weights of shape {kernel.shape} are {found.error:.2g} of their size away "
            f"from the nearest product of lines (needs {_FORCED:g}); leave it to 'auto', or use correlate1d"
        )
    return found


@kept()
def _lines(data: bytes, shape: tuple[int, ...]) -> Lines:
    kernel = np.frombuffer(data).reshape(shape)
    crossing, best = (_split(kernel, line_of) for line_of in (_through_least, _nearest))
    # Lines of the kernel's own numbers are exact where it is a box, or made of small integers.
    return crossing if crossing.error <= _EXACT else best


def _split(kernel: Array, line_of: Callable[[Array], tuple[Array, Array]]) -> Lines:
    """One line after the other is taken off, from the first axis to the last."""
    rest, weights = kernel, []
    *long, last = [axis for axis, size in enumerate(kernel.shape) if size > 1] or [0]
    for axis in long:
        line, rest = line_of(rest.reshape(kernel.shape[axis], -1))
        weights.append((axis, line))
    weights.append((last, rest.ravel()))
    product = np.ones(())
    for _, line in weights:
        product = np.multiply.outer(product, line)
    size = float(np.abs(kernel).sum())
    error = float(np.abs(product.ravel() - kernel.ravel()).sum())
    return Lines(tuple(weights), error / size if size else 0.0)


def _through_least(matrix: Array) -> tuple[Array, Array]:
    """The column and the row of the least number that is not 0, the column without what all its numbers have in common:
    both are exact where the matrix is a product of small integers, times any number."""
    magnitudes = np.where(matrix == 0, np.inf, np.abs(matrix))
    row, column = np.unravel_index(magnitudes.argmin(), matrix.shape)
    if not matrix[row, column]:
        return matrix[:, column], matrix[row]
    fractions, exponents = np.frexp(matrix[:, column])
    shifts = exponents - exponents[fractions != 0].min()
    integers = [
        int(np.ldexp(fraction, _DIGITS)) << int(shift) if fraction else 0
        for fraction, shift in zip(fractions, shifts, strict=True)
    ]
    common = math.gcd(*integers)
    if max(map(abs, integers)) < _LARGE * common:
        line = np.array([value // common for value in integers], np.float64)
    else:
        with np.errstate(all="ignore"):
            line = matrix[:, column] / matrix[row, column]
    with np.errstate(all="ignore"):
        return line, matrix[row] / line[row]


def _nearest(matrix: Array) -> tuple[Array, Array]:
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    return u[:, 0], s[0] * v[0]
