"""Convolution and correlation of two arrays: `convolve`, `correlate`, and which method they take."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any, Literal, overload

import numpy as np

from fastconv.signal import operands as read
from fastconv.signal.direct import convolve_part
from fastconv.signal.fourier import fftconvolve
from fastconv.signal.integers import bits_of_transforms, convolve_integers
from fastconv.signal.operands import MethodLike, ModeLike
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["choose_conv_method", "convolve", "correlate", "correlation_lags"]

# Products that the engine adds up in the time that a transform takes for each of its n log2(n) steps.
_PRODUCTS_PER_STEP = 40.0


def convolve(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: ModeLike = "full",
    method: MethodLike = "auto",
    *,
    backend: BackendName | None = None,
) -> Array:
    """Convolve two arrays with as many axes.

    Parameters
    ----------
    in1, in2 : array_like
    mode : {"full", "same", "valid"}
        All of the result, its middle of the shape of `in1`, or what does not depend on zeros beyond the arrays.
    method : {"auto", "direct", "fft"}
        The sum, Fourier transforms, or what `choose_conv_method` says.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the dtype that both promote to. Integers are exact by each method, however large, and wrap as those of
        their dtype do.

    Raises
    ------
    ValueError
        If shapes or options do not fit, or elements are masked.

    Warns
    -----
    RuntimeWarning
        If the first or the middle result of transforms is NaN or infinite.

    Notes
    -----
    SciPy's transforms give the lowest number of a dtype for integers that it cannot hold. Here large integers are split
    into groups of bits, each of which is transformed.

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.convolve([1, 2, 3], [0, 1, 2])
    array([0, 1, 4, 7, 6])
    """
    return _convolve("convolve", in1, in2, mode, method, backend)


def _convolve(
    op: str,
    in1: ArrayLike,
    in2: ArrayLike,
    mode: ModeLike,
    method: MethodLike,
    backend: BackendName | None,
) -> Array:
    x, kernel = read.two(in1, in2, "volume and kernel")
    if not x.ndim:
        return np.asarray(x * kernel)[()]  # a scalar, as SciPy's
    read.check_mode(mode)
    if read.wants_swap(mode, x.shape, kernel.shape):
        x, kernel = kernel, x
    if method == "auto":
        method = choose_conv_method(x, kernel, mode)
    if method == "direct":
        return _direct(op, x, kernel, mode, backend)
    if method != "fft":
        raise ValueError(f"Acceptable method flags are 'auto', 'direct', or 'fft', not {method!r}.")
    dtype = np.result_type(x, kernel)
    if dtype.kind in "biu" and x.size and kernel.size:
        return _integers(x, kernel, mode, dtype, backend)
    result = fftconvolve(x, kernel, mode, backend=backend)
    if result.size and not np.isfinite(result.ravel()[[0, result.size // 2]]).all():
        warnings.warn(
            "Use of fft convolution on input with NAN or inf results in NAN or inf output. "
            "Consider using method='direct' instead.",
            RuntimeWarning,
            stacklevel=3,
        )
    return result.astype(dtype, copy=False)


def _integers(
    x: Array, kernel: Array, mode: ModeLike, dtype: np.dtype[Any], backend: BackendName | None
) -> Array:
    """By transforms."""
    length = math.prod(a + b - 1 for a, b in zip(x.shape, kernel.shape, strict=True))
    bits = bits_of_transforms(x.size, kernel.size, length)

    def convolve(part: Array, weights: Array, _: int) -> Array:
        return fftconvolve(part, weights, mode, backend=backend)  # integers where no axis is transformed

    if dtype.kind == "b":
        return convolve(x, kernel, 0) > 0.5
    return convolve_integers(x, kernel, 0, bits, dtype, convolve)


def _direct(op: str, x: Array, kernel: Array, mode: str, backend: BackendName | None) -> Array:
    parts = [read.part(mode, size, taps) for size, taps in zip(x.shape, kernel.shape, strict=True)]
    if not x.size or not kernel.size:
        # Sums of nothing are 0. Which of these there are, and which are refused, is SciPy's choice.
        if (mode == "same" and kernel.size) or (mode == "valid" and x.ndim > 1):
            return np.zeros([size for _, size in parts], np.result_type(x, kernel))
        raise ValueError(f"{op}: the shapes are {x.shape} and {kernel.shape}, but neither may be empty")
    if kernel.size > x.size:
        x, kernel = kernel, x
    return convolve_part(
        x, kernel, [start for start, _ in parts], [size for _, size in parts], backend=backend
    )


def correlate(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: ModeLike = "full",
    method: MethodLike = "auto",
    *,
    backend: BackendName | None = None,
) -> Array:
    """Correlate two arrays with as many axes: `convolve` with the second one turned round and conjugated.

    Parameters
    ----------
    in1, in2, mode, method, backend
        As for `convolve`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.correlate([1, 2, 3], [0, 1, 2])
    array([2, 5, 8, 3, 0])
    """
    x, kernel = read.two(in1, in2)
    if not x.ndim:
        return np.asarray(x * read.conjugate(kernel))[()]
    return _convolve("correlate", x, np.flip(read.conjugate(kernel)), mode, method, backend)


def correlation_lags(in1_len: int, in2_len: int, mode: ModeLike = "full") -> Array:
    """By how much the second of two signals is moved for each number of their correlation.

    Parameters
    ----------
    in1_len, in2_len : int
        How long both signals are.
    mode : {"full", "same", "valid"}
        As for `correlate`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.correlation_lags(3, 2)
    array([-1,  0,  1,  2])
    """
    if mode == "valid":
        difference = in1_len - in2_len
        return np.arange(difference + 1) if difference >= 0 else np.arange(difference, 1)
    if mode not in ("full", "same"):
        raise ValueError(f"Mode {mode} is invalid")
    lags = np.arange(1 - in2_len, in1_len)
    if mode == "full":
        return lags
    start = lags.size // 2 - in1_len // 2
    return lags[start : start + in1_len]


@overload
def choose_conv_method(
    in1: ArrayLike, in2: ArrayLike, mode: ModeLike = ..., measure: Literal[False] = ...
) -> Literal["direct", "fft"]: ...
@overload
def choose_conv_method(
    in1: ArrayLike, in2: ArrayLike, mode: ModeLike, measure: Literal[True]
) -> tuple[Literal["direct", "fft"], dict[str, float]]: ...
@overload
def choose_conv_method(
    in1: ArrayLike, in2: ArrayLike, mode: ModeLike = ..., *, measure: Literal[True]
) -> tuple[Literal["direct", "fft"], dict[str, float]]: ...
def choose_conv_method(
    in1: ArrayLike, in2: ArrayLike, mode: ModeLike = "full", measure: bool = False
) -> Literal["direct", "fft"] | tuple[Literal["direct", "fft"], dict[str, float]]:
    """The faster method of `convolve` for these arrays, of those that are exact enough.

    Parameters
    ----------
    in1, in2, mode
        As for `convolve`.
    measure : bool
        Do both, and take the time.

    Returns
    -------
    str, or (str, dict)
        ``"direct"`` or ``"fft"``; with `measure` the seconds of both as well.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.choose_conv_method(np.ones(5), np.ones(3))
    'direct'
    """
    x, kernel = read.array("in1", in1), read.array("in2", in2)
    read.check_mode(mode)
    if measure:
        times = {name: _seconds(x, kernel, mode, name) for name in ("fft", "direct")}
        return ("fft" if times["fft"] < times["direct"] else "direct"), times
    kinds = x.dtype.kind, kernel.dtype.kind
    if x.ndim != kernel.ndim or not x.size or not kernel.size:
        return "direct"
    if any(kind not in "biufc" for kind in kinds) or kinds == ("b", "b"):
        return "direct"
    if any(array.dtype.char in "gG" for array in (x, kernel)):
        return "direct"
    if any(kind in "iu" for kind in kinds):
        largest = [int(np.abs(array).max()) for array in (x, kernel)]
        if largest[0] * largest[1] * min(x.size, kernel.size) >= 2**52:
            return "direct"
    sizes = [read.part(mode, *pair)[1] for pair in zip(x.shape, kernel.shape, strict=True)]
    products = float(np.prod([max(1, size) for size in sizes], dtype=float)) * min(x.size, kernel.size)
    full = float(np.prod([a + b - 1 for a, b in zip(x.shape, kernel.shape, strict=True)], dtype=float))
    steps = 3 * full * np.log2(full + 1)
    return "fft" if products > _PRODUCTS_PER_STEP * steps else "direct"


def _seconds(x: Array, kernel: Array, mode: ModeLike, method: str) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        convolve(x, kernel, mode, method)  # type: ignore[arg-type]
        best = min(best, time.perf_counter() - start)
    return best
