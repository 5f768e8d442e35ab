"""Convolution by Fourier transforms: `fftconvolve`, and in blocks `oaconvolve`.

Arrays whose smaller one is a kernel of moderate size go to the engine, which has transforms in tiles of its own; the
answer is the same. A NaN or an infinity reaches the windows that hold it, no others: transforms see 0 in its place, and
what these windows give is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from fastconv.backends import resolve
from fastconv.execution.memory import empty
from fastconv.filtering import spectral
from fastconv.filtering.application import LinearFilter
from fastconv.filtering.blocks import Reach
from fastconv.filtering.missing import NanPolicy
from fastconv.signal import operands as read
from fastconv.signal.direct import convolve_part
from fastconv.signal.operands import AxesLike, ModeLike
from fastconv.typing import Array, ArrayLike, BackendName, Precision

__all__ = ["fftconvolve", "oaconvolve"]

# Along each axis, by the number of axes: the largest kernel that the engine takes, which has transforms of its own.
_ENGINE_TAPS = {1: 4096, 2: 1024}
_STRICT_TAPS = (
    128  # of two axes: up to that, rounding errors of an outlier stay within the windows that hold it
)


def fftconvolve(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: ModeLike = "full",
    axes: AxesLike = None,
    *,
    nan_policy: NanPolicy = "propagate",
    backend: BackendName | None = None,
) -> Array:
    """Convolve two arrays in a time that hardly grows with the smaller one.

    Parameters
    ----------
    in1, in2 : array_like
        With as many axes; `in1` may be a masked array.
    mode : {"full", "same", "valid"}
        All of the result, its middle of the shape of `in1`, or what does not depend on zeros beyond the arrays.
    axes : int or sequence of int, optional
        Those to convolve along; along the others the arrays are multiplied, and broadcast. All by default.
    nan_policy : {"propagate", "omit", "interpolate"}
        What becomes of results whose window holds missing elements of `in1`, as for `convolve`; the last one for one
        kernel, not for several along axes that are multiplied.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Floats: of integers as well. A masked array where `in1` is one.

    Raises
    ------
    ValueError
        If shapes, axes or options do not fit, elements of `in2` are masked, or they sum to 0 and are to be scaled.
    TypeError
        If elements may be missing of complex numbers.

    Notes
    -----
    A NaN or an infinity reaches the results whose window holds it, no others; where transforms are taken these are NaN.
    An outlier raises the rounding errors of these results only where sums are taken: with the "cython" backend for
    kernels of up to 128 pixels a side in two axes, 4096 in one, 1000 weights in more; elsewhere those of a tile, or of
    the whole result.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.fftconvolve(np.array([1.0, 2, 3]), np.array([0.0, 1, 0.5])).round(6)
    array([0. , 1. , 2.5, 4. , 1.5])
    """
    return _convolve("fftconvolve", in1, in2, mode, axes, nan_policy, backend)


def oaconvolve(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: ModeLike = "full",
    axes: AxesLike = None,
    *,
    nan_policy: NanPolicy = "propagate",
    backend: BackendName | None = None,
) -> Array:
    """Convolve two arrays of very different sizes: `fftconvolve` in blocks whose results are added (overlap-add).

    Parameters
    ----------
    in1, in2, mode, axes, nan_policy, backend
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
    return _convolve("oaconvolve", in1, in2, mode, axes, nan_policy, backend)


def _convolve(
    op: str,
    in1: ArrayLike,
    in2: ArrayLike,
    mode: str,
    axes: AxesLike,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> Array:
    a, b = read.two(op, in1, in2, nan_policy, backend)
    if not a.ndim:
        return np.asanyarray(a * b)[()]  # a scalar, as SciPy's
    if not a.size or not b.size:
        return np.array([])
    along = read.check_axes(a, b, axes)
    places = [axis for axis in along if a.shape[axis] != 1 and b.shape[axis] != 1]  # others take no transform
    read.check_mode(mode)
    read.wants_swap(mode, a.shape, b.shape, places)
    others = [axis for axis in range(a.ndim) if axis not in along]
    if mode == "same":  # of kernels that one array is multiplied with, the middle one
        for axis in others:
            rest = max(0, b.shape[axis] - a.shape[axis]) // 2
            b = b[(slice(None),) * axis + (slice(rest, rest + a.shape[axis]),)]
    starts, sizes = read.parts(mode, a.shape, b.shape)
    shape = list(sizes)
    for axis in others:
        starts[axis], shape[axis] = 0, max(a.shape[axis], b.shape[axis])
    if nan_policy == "interpolate" and any(b.shape[axis] > 1 for axis in others):
        raise ValueError(
            f"{op}: nan_policy is 'interpolate', but in2 of shape {b.shape} is several kernels along axes that are "
            "multiplied: needs 'omit' or 'propagate'"
        )

    def run(x: Array, out: Array, fill: complex) -> None:
        transform(x, b, places, starts, out, fill, backend, in_blocks=op == "oaconvolve")

    reaches = [
        reach if axis in along else Reach() for axis, reach in enumerate(read.reaches(starts, b.shape))
    ]
    dtype = np.result_type(*(_float_dtype(each) if places else each.dtype for each in (a, b)))
    return LinearFilter(op, run, reaches, [b], 0, backend, nan_policy).of_shape(a, tuple(shape), dtype)


def transform(
    a: Array,
    b: Array,
    places: list[int],
    starts: Sequence[int],
    out: Array,
    fill: complex,
    backend: BackendName | None,
    in_blocks: bool = False,
) -> None:
    """Put into `out` what of the full convolution of both starts there, with `fill` beyond `a`."""
    if fill:
        transform(a - fill, b, places, starts, out, 0, backend, in_blocks)
        out += fill * b.sum()
        return
    shape, dtype = out.shape, out.dtype
    cut = tuple(slice(start, start + size) for start, size in zip(starts, shape, strict=True))
    if not places:
        out[...] = (a * b)[cut]
        return
    if dtype.char not in "fdgFDG":
        wide = empty("signal", shape, np.result_type(_float_dtype(a), _float_dtype(b)))
        transform(a, b, places, starts, wide, 0, backend, in_blocks)
        out[...] = wide
        return
    large, small = (a, b) if a.size >= b.size else (b, a)
    precision = _engine_precision(large, small, dtype, places, backend)
    large, small = (x.astype(dtype) if x.dtype.kind == "O" else x for x in (large, small))
    # Strict sums keep what is no number within its windows, but for that of a kernel, which meets the zeros beyond.
    unknown = None if precision == "strict" else _unknown(large), _unknown(small)
    large, small = _without(large, unknown[0]), _without(small, unknown[1])
    if precision is not None:
        convolve_part(large, small, starts, out, backend=backend, precision=precision)
    else:
        a, b = large.astype(dtype, copy=False), small.astype(dtype, copy=False)
        out[...] = (_overlap_add if in_blocks else spectral.convolve)(a, b, places)[cut]
    for mask, other in zip(unknown, (small, large), strict=True):
        if mask is not None:
            for axis, (start, size) in enumerate(zip(starts, shape, strict=True)):
                taps = other.shape[axis] if axis in places else 1
                if axis in places or mask.shape[axis] > 1:
                    mask = _held_by_windows(mask, axis, taps, start, size)
            np.copyto(out, np.nan, where=mask)


def _unknown(x: Array) -> Array | None:
    """Where there is no number; None where there are numbers only."""
    if x.dtype.kind not in "fc":
        return None
    finite = np.isfinite(x)
    return None if finite.all() else ~finite


def _without(x: Array, unknown: Array | None) -> Array:
    return x if unknown is None else np.where(unknown, x.dtype.type(0), x)


def _held_by_windows(mask: Array, axis: int, taps: int, start: int, size: int) -> Array:
    """Which of the windows along an axis, from `start` of the full convolution on, hold something of the mask."""
    zero = np.zeros_like(mask, np.intp, shape=[1 if i == axis else n for i, n in enumerate(mask.shape)])
    count = np.concatenate([zero, np.cumsum(mask, axis)], axis)
    last = np.arange(start + 1, start + size + 1)
    first, last = (np.clip(ends, 0, mask.shape[axis]) for ends in (last - taps, last))
    return np.asarray(count.take(last, axis) != count.take(first, axis))


def _float_dtype(x: Array) -> np.dtype[Any]:
    """That in which it is transformed."""
    if x.dtype.kind in "biuO":
        return np.dtype(np.float64)
    return np.dtype(np.float32) if x.dtype == np.float16 else x.dtype


def _engine_precision(
    large: Array, small: Array, dtype: np.dtype[Any], axes: list[int], backend: BackendName | None
) -> Precision | None:
    """That which the engine is to have; None where it is not the one to ask."""
    if dtype.char not in "fdFD" or "O" in (large.dtype.kind, small.dtype.kind):
        return None
    most = _ENGINE_TAPS.get(len(axes), large.size)
    for axis in range(large.ndim):
        if small.shape[axis] > (min(most, large.shape[axis]) if axis in axes else 1):
            return None
    engine = resolve("filter", backend)
    if len(axes) > 2 or "fft" not in engine.algorithms():
        return "strict" if small.size <= spectral.MOST_WEIGHTS[engine.name] else None
    return "strict" if len(axes) == 1 or max(small.shape) <= _STRICT_TAPS else "fast"


def _overlap_add(large: Array, small: Array, axes: list[int]) -> Array:
    """The full convolution, block after block of the larger array."""
    steps, sizes = [], []
    for axis in axes:
        taps, length = small.shape[axis], large.shape[axis]
        size = spectral.fast_length(max(8 * taps, 64) if len(axes) == 1 else max(3 * taps, 32))
        if taps > length or size >= length + taps - 1:
            size = spectral.fast_length(length + taps - 1)
        sizes.append(size)
        steps.append(size - taps + 1)
    if math.prod(-(-large.shape[axis] // step) for axis, step in zip(axes, steps, strict=True)) == 1:
        return spectral.convolve(large, small, axes)
    shape = [max(large.shape[axis], small.shape[axis]) for axis in range(large.ndim)]
    for axis in axes:
        shape[axis] = large.shape[axis] + small.shape[axis] - 1
    result = np.zeros(shape, np.result_type(large, small))
    kernel = spectral.forward(large, small, sizes, axes, small)
    counts = [range(0, large.shape[axis], step) for axis, step in zip(axes, steps, strict=True)]
    for corner in product(*counts):
        source, target, cut = ([slice(None)] * large.ndim for _ in range(3))
        for axis, start, step, size in zip(axes, corner, steps, sizes, strict=True):
            source[axis] = slice(start, start + step)
            target[axis] = slice(start, min(start + size, shape[axis]))
            cut[axis] = slice(0, min(size, shape[axis] - start))
        spectrum = spectral.forward(large, small, sizes, axes, large[tuple(source)]) * kernel
        result[tuple(target)] += spectral.backward(spectrum, large, small, sizes, axes)[tuple(cut)]
    return result
