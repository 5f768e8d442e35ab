"""Correlation and convolution with a kernel, over all axes or along one."""

# pyright: reportAttributeAccessIssue=false
# It takes arrays that may be complex to have no parts.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import SupportsIndex

import numpy as np

from fastconv.execution.memory import empty
from fastconv.filtering import arguments as read
from fastconv.filtering import sums
from fastconv.filtering.arguments import AxesLike, BorderName, OutputLike
from fastconv.filtering.blocks import Reach, reach
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["convolve", "convolve1d", "correlate", "correlate1d"]


def correlate1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: SupportsIndex = -1,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: complex = 0.0,
    origin: SupportsIndex = 0,
    *,
    saturate: bool = False,
    backend: BackendName | None = None,
) -> Array:
    """Correlate an array with weights along one axis.

    Parameters
    ----------
    input : array_like
    weights : array_like
        One-dimensional.
    axis : int
    output : ndarray or dtype, optional
        Where to put the result, or of which dtype it is: that of `input` by default.
    mode : {"reflect", "mirror", "nearest", "wrap", "constant"}
        What lies beyond the array: ``d c b a | a b c d | d c b a``, ``d c b | a b c d | c b a``, its edge, its other
        end, or `cval`; ``"grid-mirror"``, ``"grid-wrap"`` and ``"grid-constant"`` are other names of the first, the
        fourth and the last.
    cval : scalar
    origin : int
        How far the window of a pixel is moved to the left.
    saturate : bool
        Integers are rounded and kept within the range of their dtype; else they are cut off and wrapped, as SciPy's.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, RuntimeError, TypeError
        If an argument does not fit, of the type that SciPy raises.

    Notes
    -----
    Sums of float32 whose result is float32 are computed in float32, all others in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.correlate1d(np.array([2, 8, 0, 4, 1, 9, 9, 0]), weights=[1, 3])
    array([ 8, 26,  8, 12,  7, 28, 36,  9])
    """
    x, kernel = np.asarray(input), np.asarray(weights)
    if x.dtype.kind == "c" or kernel.dtype.kind == "c":
        kernel = kernel.conj()

        def part(x: Array, kernel: Array, out: Array, cval: float) -> None:
            _along(x, kernel, axis, out, mode, cval, origin, saturate, backend)

        return _complex(part, x, kernel, read.result_array(output, x, complex_result=True), cval)
    out = read.result_array(output, x)
    _along(x, kernel, axis, out, mode, _real(cval), origin, saturate, backend)
    return out


def convolve1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: SupportsIndex = -1,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: complex = 0.0,
    origin: SupportsIndex = 0,
    *,
    saturate: bool = False,
    backend: BackendName | None = None,
) -> Array:
    """Convolve an array with weights along one axis: `correlate1d` with the weights reversed.

    Parameters
    ----------
    input, weights, axis, output, mode, cval, origin, saturate, backend
        As for `correlate1d`; `origin` moves the window to the right.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.convolve1d(np.array([2, 8, 0, 4, 1, 9, 9, 0]), weights=[1, 3])
    array([14, 24,  4, 13, 12, 36, 27,  0])
    """
    kernel = np.asarray(weights)[::-1]
    shift = -int(origin) - (1 - kernel.shape[0] % 2)
    if kernel.dtype.kind == "c":
        kernel = kernel.conj()
    return correlate1d(input, kernel, axis, output, mode, cval, shift, saturate=saturate, backend=backend)


def correlate(
    input: ArrayLike,
    weights: ArrayLike,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: complex = 0.0,
    origin: SupportsIndex | list[int] = 0,
    *,
    axes: AxesLike = None,
    saturate: bool = False,
    backend: BackendName | None = None,
) -> Array:
    """Correlate an array with a kernel of as many axes.

    Parameters
    ----------
    input : array_like
    weights : array_like
        As many axes as `axes`.
    output, mode, cval, saturate, backend
        As for `correlate1d`; one mode for all axes.
    origin : int or sequence of int
        How far the window of a pixel is moved towards the first pixel; one for each of `axes`.
    axes : int or sequence of int, optional
        Those along which the kernel lies; all by default.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, RuntimeError, TypeError
        If an argument does not fit, of the type that SciPy raises.

    Notes
    -----
    Two habits of SciPy are kept: weights lie along `axes` in the order of the array's axes, whatever the order of
    `axes`; a complex kernel is conjugated.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.correlate(np.arange(16).reshape(4, 4), np.ones((3, 3)))
    array([[ 15,  21,  30,  36],
           [ 39,  45,  54,  60],
           [ 75,  81,  90,  96],
           [ 99, 105, 114, 120]])
    """
    kernel = np.asarray(weights)
    return _over_axes(input, kernel.conj(), output, mode, cval, origin, False, axes, saturate, backend)


def convolve(
    input: ArrayLike,
    weights: ArrayLike,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: complex = 0.0,
    origin: SupportsIndex | list[int] = 0,
    *,
    axes: AxesLike = None,
    saturate: bool = False,
    backend: BackendName | None = None,
) -> Array:
    """Convolve an array with a kernel of as many axes: the kernel is turned round before it is laid on.

    Parameters
    ----------
    input, weights, output, mode, cval, origin, axes, saturate, backend
        As for `correlate`; `origin` moves the window the other way.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> image = np.array([[1, 2, 0, 0], [5, 3, 0, 4], [0, 0, 0, 7], [9, 3, 0, 0]])
    >>> ndimage.convolve(image, np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]]), mode="constant")
    array([[11, 10,  7,  4],
           [10,  3, 11, 11],
           [15, 12, 14,  7],
           [12,  3,  7,  0]])
    """
    return _over_axes(input, np.asarray(weights), output, mode, cval, origin, True, axes, saturate, backend)


@dataclass(frozen=True)
class Line:
    """Weights along one axis as a pass: `correlate1d`."""

    weights: ArrayLike
    axis: int
    mode: BorderName
    cval: complex
    saturate: bool = False
    backend: BackendName | None = None

    def __call__(self, x: Array, out: Array) -> None:
        correlate1d(
            x,
            self.weights,
            self.axis,
            out,
            self.mode,
            self.cval,
            saturate=self.saturate,
            backend=self.backend,
        )


def two_lines(first: Line, second: Line, x: Array, out: Array) -> bool:
    """Both passes in a single way through the array; False where that would not give the same, or has no kernel."""
    if x.dtype.kind == "c" or out.dtype.kind == "c" or abs(first.axis - second.axis) != 1:
        return False
    if any(np.iscomplexobj(np.asarray(each)) for each in (first.cval, first.weights, second.weights)):
        return False
    cval = float(np.real(first.cval))
    reaches, kernels = [Reach()] * x.ndim, []
    for line in (first, second):
        kernel, reaches[line.axis] = _line(line.weights, line.axis, x.ndim, line.mode, 0)
        kernels.append(sums.Weighing(kernel, partial(sums.terms_1d, kernel, line.axis)))
    if second.axis < first.axis and cval and "zeros" in (reaches[first.axis].mode, reaches[second.axis].mode):
        return False  # the first pass sees the constant, the second what the first makes of it
    return sums.weigh_pictures(x, kernels, reaches, cval, out, first.saturate, first.backend)


def _line(
    weights: ArrayLike, axis: SupportsIndex, ndim: int, mode: BorderName, origin: SupportsIndex
) -> tuple[Array, Reach]:
    """Weights along one axis as a kernel of all axes, and how far it reaches."""
    kernel = np.asarray(weights, np.float64)
    if kernel.ndim != 1 or not kernel.size:
        raise RuntimeError(f"no filter weights given: weights has shape {kernel.shape}, needs one axis")
    place = read.check_axis(axis, ndim)
    shift, size = int(origin), kernel.size
    read.check_origin(
        shift,
        size,
        "Invalid origin; origin must satisfy -(len(weights) // 2) <= origin <= (len(weights)-1) // 2",
    )
    return kernel.reshape([size if i == place else 1 for i in range(ndim)]), reach(
        size, shift, read.border(mode)
    )


def _along(
    x: Array,
    kernel: Array,
    axis: SupportsIndex,
    out: Array,
    mode: BorderName,
    cval: float,
    origin: SupportsIndex,
    saturate: bool,
    backend: BackendName | None,
) -> None:
    place = read.check_axis(axis, x.ndim)
    reaches = [Reach()] * x.ndim
    kernel, reaches[place] = _line(kernel, axis, x.ndim, mode, origin)
    _into(x, kernel, reaches, cval, out, partial(sums.terms_1d, kernel, place), saturate, backend)


def _into(
    x: Array,
    kernel: Array,
    reaches: list[Reach],
    cval: float,
    out: Array,
    terms: sums.Terms,
    saturate: bool,
    backend: BackendName | None,
) -> None:
    """The sums into `out`, which may share memory with `x`."""
    read.check_type(x.dtype)
    read.check_type(out.dtype)
    target = empty("ndimage", out.shape, out.dtype) if np.may_share_memory(x, out) else out
    sums.correlate(x, kernel, reaches, float(cval), target, terms, saturate=saturate, backend=backend)
    if target is not out:
        out[...] = target


def _over_axes(
    input: ArrayLike,
    kernel: Array,
    output: OutputLike,
    mode: BorderName,
    cval: complex,
    origin: SupportsIndex | list[int],
    turned: bool,
    axes: AxesLike,
    saturate: bool,
    backend: BackendName | None,
) -> Array:
    x = np.asarray(input)
    is_complex = x.dtype.kind == "c" or kernel.dtype.kind == "c"
    places = read.check_axes(axes, x.ndim)
    kernel = read.widen(kernel if is_complex else kernel.astype(np.float64), places, x.ndim, "weights")
    origins = read.spread(read.for_each(origin, len(places), "origin"), places, x.ndim, 0)
    if turned:
        kernel = np.flip(kernel)
        origins = [-shift - (1 - size % 2) for shift, size in zip(origins, kernel.shape, strict=True)]
    for shift, size in zip(origins, kernel.shape, strict=True):
        read.check_origin(
            shift,
            size,
            "Invalid origin; origin must satisfy -(weights.shape[k] // 2) <= origin[k] <= (weights.shape[k]-1) // 2",
        )
    border = read.one_border(mode)
    reaches = [reach(size, shift, border) for size, shift in zip(kernel.shape, origins, strict=True)]

    def part(x: Array, kernel: Array, out: Array, cval: float) -> None:
        kernel = np.ascontiguousarray(kernel, np.float64)
        _into(x, kernel, reaches, cval, out, partial(sums.terms_nd, kernel), saturate, backend)

    out = read.result_array(output, x, complex_result=is_complex)
    if is_complex:
        return _complex(part, x, kernel, out, cval)
    part(x, kernel, out, _real(cval))
    return out


def _real(cval: complex) -> float:
    if np.iscomplexobj(cval):
        raise ValueError("Cannot provide a complex-valued cval when the input is real.")
    return float(np.real(cval))


def _complex(
    part: Callable[[Array, Array, Array, float], None], x: Array, kernel: Array, out: Array, cval: complex
) -> Array:
    """A filter of complex numbers by those of their parts, which are real."""
    target = empty("ndimage", out.shape, out.dtype) if np.may_share_memory(x, out) else out
    if x.dtype.kind == "c" and kernel.dtype.kind == "c":
        product = empty("ndimage", x.shape, target.real.dtype)
        real, imaginary = float(np.real(cval)), float(np.imag(cval))
        part(x.real, kernel.real, target.real, real)
        part(x.imag, kernel.imag, product, imaginary)
        target.real -= product
        part(x.real, kernel.imag, target.imag, real)
        part(x.imag, kernel.real, product, imaginary)
        target.imag += product
    elif x.dtype.kind == "c":
        part(x.real, kernel, target.real, float(np.real(cval)))
        part(x.imag, kernel, target.imag, float(np.imag(cval)))
    else:
        value = _real(cval)
        part(x, kernel.real, target.real, value)
        part(x, kernel.imag, target.imag, value)
    if target is not out:
        out[...] = target
    return out
