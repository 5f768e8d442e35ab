"""Convolution by Fourier transforms: `fftconvolve`, and in blocks `oaconvolve`.

Real arrays whose smaller one is a kernel of moderate size go to the engine, which has its own transforms in tiles;
the answer is the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from fastconv.backends import resolve
from fastconv.caches import kept
from fastconv.execution.convolution import is_even
from fastconv.filtering.planes import has_transforms
from fastconv.signal import operands as read
from fastconv.signal.direct import convolve_part
from fastconv.signal.operands import AxesLike, ModeLike
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["fftconvolve", "oaconvolve"]

# Along each axis, by the number of axes: the largest kernel that the engine takes; without its transforms, or where
# these would carry an outlier too far, the largest of planes for which it is faster.
_ENGINE_TAPS = {1: 4096, 2: 1024}
_DIRECT_TAPS = 128


def fftconvolve(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: ModeLike = "full",
    axes: AxesLike = None,
    *,
    backend: BackendName | None = None,
) -> Array:
    """Convolve two arrays in a time that hardly grows with the smaller one.

    Parameters
    ----------
    in1, in2 : array_like
        With as many axes.
    mode : {"full", "same", "valid"}
        All of the result, its middle of the shape of `in1`, or what does not depend on zeros beyond the arrays.
    axes : int or sequence of int, optional
        Those to convolve along; along the others the arrays are multiplied, and broadcast. All by default.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Floats: of integers as well.

    Raises
    ------
    ValueError
        If shapes, axes or the mode do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.fftconvolve(np.array([1.0, 2, 3]), np.array([0.0, 1, 0.5])).round(6)
    array([0. , 1. , 2.5, 4. , 1.5])
    """
    return _convolve(in1, in2, mode, axes, backend, in_blocks=False)


def oaconvolve(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: ModeLike = "full",
    axes: AxesLike = None,
    *,
    backend: BackendName | None = None,
) -> Array:
    """Convolve two arrays of very different sizes: `fftconvolve` in blocks whose results are added (overlap-add).

    Parameters
    ----------
    in1, in2, mode, axes, backend
        As for `fftconvolve`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.oaconvolve(np.ones(5), np.ones(2), mode="valid")
    array([2., 2., 2., 2.])
    """
    return _convolve(in1, in2, mode, axes, backend, in_blocks=True)


def _convolve(
    in1: ArrayLike, in2: ArrayLike, mode: str, axes: AxesLike, backend: BackendName | None, in_blocks: bool
) -> Array:
    a, b = read.two(in1, in2)
    if not a.ndim:
        return np.multiply(a, b)[()]  # a scalar, as SciPy's
    if not a.size or not b.size:
        return np.array([])
    places = read.check_axes(a, b, axes)
    read.check_mode(mode)
    if read.wants_swap(mode, a.shape, b.shape, places):
        a, b = b, a
    starts, shape = [0] * a.ndim, [max(a.shape[axis], b.shape[axis]) for axis in range(a.ndim)]
    for axis in places:
        starts[axis], shape[axis] = read.part(mode, a.shape[axis], b.shape[axis])
    if mode == "same":
        _cut_to(a.shape, places, starts, shape)
    if not places:
        full = a * b
    else:
        a, b = _floats(a), _floats(b)
        large, small = (a, b) if a.size >= b.size else (b, a)
        if _suits_engine(large, small, places, backend):
            return convolve_part(large, small, starts, shape, backend=backend)
        full = _overlap_add(large, small, places) if in_blocks else _spectral(a, b, places)
    return full[tuple(slice(start, start + size) for start, size in zip(starts, shape, strict=True))].copy()


def _cut_to(wanted: tuple[int, ...], axes: list[int], starts: list[int], shape: list[int]) -> None:
    """Along the axes that are multiplied, the middle of the shape of `in1` as well."""
    for axis, size in enumerate(wanted):
        if axis not in axes:
            starts[axis], shape[axis] = (shape[axis] - size) // 2, size


def _floats(x: Array) -> Array:
    if x.dtype.kind in "biu":
        return x.astype(np.float64)
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _suits_engine(large: Array, small: Array, axes: list[int], backend: BackendName | None) -> bool:
    if large.dtype.char not in "fd" or small.dtype.char not in "fd" or len(axes) not in _ENGINE_TAPS:
        return False
    for axis in range(large.ndim):
        most = min(_ENGINE_TAPS[len(axes)], large.shape[axis]) if axis in axes else 1
        if small.shape[axis] > most:
            return False
    if len(axes) == 1 or max(small.shape) <= _DIRECT_TAPS:
        return True
    return (
        large.dtype == small.dtype
        and has_transforms(backend)
        and is_even(resolve("fftconvolve", backend), large)
    )


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


def _spectral(a: Array, b: Array, axes: Sequence[int]) -> Array:
    """The full convolution by one transform of each array."""
    lengths = [a.shape[axis] + b.shape[axis] - 1 for axis in axes]
    sizes = [fast_length(length) for length in lengths]
    spectrum = _forward(a, b, sizes, axes, a) * _forward(a, b, sizes, axes, b)
    full = _backward(spectrum, a, b, sizes, axes)
    cut = [slice(None)] * a.ndim
    for axis, length in zip(axes, lengths, strict=True):
        cut[axis] = slice(length)
    return full[tuple(cut)]


def _is_complex(a: Array, b: Array) -> bool:
    return a.dtype.kind == "c" or b.dtype.kind == "c"


def _forward(a: Array, b: Array, sizes: Sequence[int], axes: Sequence[int], x: Array) -> Array:
    transform = np.fft.fftn if _is_complex(a, b) else np.fft.rfftn
    return np.asarray(transform(x, sizes, axes))


def _backward(spectrum: Array, a: Array, b: Array, sizes: Sequence[int], axes: Sequence[int]) -> Array:
    transform = np.fft.ifftn if _is_complex(a, b) else np.fft.irfftn
    return np.asarray(transform(spectrum, sizes, axes))


def _overlap_add(large: Array, small: Array, axes: list[int]) -> Array:
    """The full convolution, block after block of the larger array."""
    steps, sizes = [], []
    for axis in axes:
        taps, length = small.shape[axis], large.shape[axis]
        size = fast_length(max(8 * taps, 64) if len(axes) == 1 else max(3 * taps, 32))
        if taps > length or size >= length + taps - 1:
            size = fast_length(length + taps - 1)
        sizes.append(size)
        steps.append(size - taps + 1)
    if math.prod(-(-large.shape[axis] // step) for axis, step in zip(axes, steps, strict=True)) == 1:
        return _spectral(large, small, axes)
    shape = [max(large.shape[axis], small.shape[axis]) for axis in range(large.ndim)]
    for axis in axes:
        shape[axis] = large.shape[axis] + small.shape[axis] - 1
    result = np.zeros(shape, np.result_type(large, small))
    kernel = _forward(large, small, sizes, axes, small)
    counts = [range(0, large.shape[axis], step) for axis, step in zip(axes, steps, strict=True)]
    for corner in product(*counts):
        source, target, cut = ([slice(None)] * large.ndim for _ in range(3))
        for axis, start, step, size in zip(axes, corner, steps, sizes, strict=True):
            source[axis] = slice(start, start + step)
            target[axis] = slice(start, min(start + size, shape[axis]))
            cut[axis] = slice(0, min(size, shape[axis] - start))
        spectrum = _forward(large, small, sizes, axes, large[tuple(source)]) * kernel
        result[tuple(target)] += _backward(spectrum, large, small, sizes, axes)[tuple(cut)]
    return result
