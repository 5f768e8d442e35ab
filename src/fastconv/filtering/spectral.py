"""Convolution by NumPy's Fourier transforms, for backends without their own and kernels that are too large for these.

Called by the convolutions of `fastconv.signal`, and by the sums of filters where they are integers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastconv.caches import kept
from fastconv.typing import Array

# Of more than two axes, and of backends without transforms: the weights for which sums are faster.
MOST_WEIGHTS = {"cython": 1000, "numba": 500, "numpy": 64}


@kept()
def fast_length(size: int) -> int:
    """The smallest product of powers of 2, 3, 5, 7 and 11 that is not below `size`."""
    best = 1 << max(0, (size - 1).bit_length())
    odd = [1]
    for prime in (3, 5, 7, 11):
        odd = [value * prime**power for value in odd for power in range(32) if value * prime**power < best]
    for value in odd:
        best = min(best, value << max(0, (-(-size // value) - 1).bit_length()))
    return best


def convolve(a: Array, b: Array, axes: Sequence[int]) -> Array:
    """The full convolution by one transform of each array."""
    lengths = [a.shape[axis] + b.shape[axis] - 1 for axis in axes]
    sizes = [fast_length(length) for length in lengths]
    spectrum = forward(a, b, sizes, axes, a) * forward(a, b, sizes, axes, b)
    full = backward(spectrum, a, b, sizes, axes)
    cut = [slice(None)] * a.ndim
    for axis, length in zip(axes, lengths, strict=True):
        cut[axis] = slice(length)
    return full[tuple(cut)]


def _is_complex(a: Array, b: Array) -> bool:
    return a.dtype.kind == "c" or b.dtype.kind == "c"


def forward(a: Array, b: Array, sizes: Sequence[int], axes: Sequence[int], x: Array) -> Array:
    transform = np.fft.fftn if _is_complex(a, b) else np.fft.rfftn
    return np.asarray(transform(x, sizes, axes))


def backward(spectrum: Array, a: Array, b: Array, sizes: Sequence[int], axes: Sequence[int]) -> Array:
    transform = np.fft.ifftn if _is_complex(a, b) else np.fft.irfftn
    return np.asarray(transform(spectrum, sizes, axes))
