"""Convolution and correlation of two arrays: `convolve`, `correlate`, and which method they take."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from typing import Literal, overload

import numpy as np

from fastconv.execution.memory import empty
from fastconv.filtering import arguments
from fastconv.filtering.application import LinearFilter
from fastconv.filtering.integers import bits_of_transforms, convolve_integers
from fastconv.filtering.missing import NanPolicy
from fastconv.signal import operands as read
from fastconv.signal.direct import convolve_part
from fastconv.signal.fourier import transform
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
    nan_policy: NanPolicy = "propagate",
    backend: BackendName | None = None,
) -> Array:
    """Convolve two arrays with as many axes.

    Parameters
    ----------
    in1, in2 : array_like
        `in1` may be a masked array.
    mode : {"full", "same", "valid"}
        All of the result, its middle of the shape of `in1`, or what does not depend on zeros beyond the arrays.
    method : {"auto", "direct", "fft"}
        The sum, Fourier transforms, or what `choose_conv_method` says.
    nan_policy : {"propagate", "omit", "interpolate"}
        What becomes of results whose window holds missing elements of `in1`, which are NaN and masked ones: they are
        missing, too; or they are the sum of the other elements; or that sum is scaled to the sum of `in2`. Where no
        element is left, the result is NaN, or 0 where it is an integer. Zeros beyond `in1` are not missing.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the dtype that both promote to. Integers are exact by each method, however large, and wrap as those of
        their dtype do. A masked array where `in1` is one: masked are the missing elements.

    Raises
    ------
    ValueError
        If shapes or options do not fit, elements of `in2` are masked, or they sum to 0 and are to be scaled.
    TypeError
        If elements may be missing of complex numbers.

    Warns
    -----
    RuntimeWarning
        If the first or the middle result of transforms is NaN or infinite.

    Notes
    -----
    SciPy's transforms give the lowest number of a dtype for integers that it cannot hold. Here large integers are split
    into groups of bits, each of which is transformed. As in SciPy, a NaN or an infinity in `in2` meets the zeros beyond
    `in1` in sums of several axes, so that each result is NaN, and does not in those of one axis.

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.convolve([1, 2, 3], [0, 1, 2])
    array([0, 1, 4, 7, 6])
    """
    x, kernel = read.two("convolve", in1, in2, nan_policy, backend, "volume and kernel")
    return _convolve("convolve", x, kernel, mode, method, nan_policy, backend)


def _convolve(
    op: str,
    x: Array,
    kernel: Array,
    mode: ModeLike,
    method: MethodLike,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> Array:
    if not x.ndim:
        return np.asanyarray(x * kernel)[()]  # a scalar, as SciPy's
    read.check_mode(mode)
    read.wants_swap(mode, x.shape, kernel.shape)
    if method == "auto":
        method = _faster_method(x, kernel, mode)
    if method not in ("direct", "fft"):
        raise ValueError(f"Acceptable method flags are 'auto', 'direct', or 'fft', not {method!r}.")
    dtype = np.result_type(x.dtype, kernel.dtype)
    starts, shape = read.parts(mode, x.shape, kernel.shape)
    if not x.size or not kernel.size:
        if method == "fft":
            return np.array([], dtype)
        # Sums of nothing are 0. Which of these there are, and which are refused, is SciPy's choice.
        full = read.parts("full", x.shape, kernel.shape)[1]
        several = x.ndim > 1 and (mode == "valid" or 0 in full) and min(shape) >= 0
        if several or (mode == "same" and kernel.size):
            return np.zeros(shape, dtype)
        raise ValueError(f"{op}: the shapes are {x.shape} and {kernel.shape}, but neither may be empty")

    def run(x: Array, out: Array, fill: complex) -> None:
        if method == "direct":
            _direct(x, kernel, mode, starts, out, fill, backend)
        elif out.dtype.kind in "biu":
            _integers(x, kernel, starts, out, backend)
        else:
            transform(x, kernel, list(range(x.ndim)), starts, out, fill, backend)

    linear = LinearFilter(
        op, run, read.reaches(starts, kernel.shape), [kernel], 0, backend, nan_policy
    )  # fmt: skip
    result = linear.of_shape(x, shape, dtype)
    some = np.ma.getdata(result).ravel()[[0, result.size // 2]]
    if method == "fft" and nan_policy == "propagate" and dtype.kind in "fc" and not np.isfinite(some).all():
        warnings.warn(
            "Use of fft convolution on input with NAN or inf results in NAN or inf output. "
            "Consider using method='direct' instead.",
            RuntimeWarning,
            stacklevel=3,
        )
    return result


def _integers(
    x: Array, kernel: Array, starts: Sequence[int], out: Array, backend: BackendName | None
) -> None:
    """By transforms."""
    length = math.prod(a + b - 1 for a, b in zip(x.shape, kernel.shape, strict=True))
    total = empty("convolve", out.shape, np.dtype(np.float64))

    def convolve(part: Array, weights: Array, _: int) -> Array:
        transform(part, weights, list(range(x.ndim)), starts, total, 0, backend)
        return total

    if out.dtype.kind == "b":
        np.greater(convolve(x, kernel, 0), 0.5, out=out)
    else:
        bits = bits_of_transforms(x.size, kernel.size, length)
        out[...] = convolve_integers(x, kernel, 0, bits, out.dtype, convolve)


def _direct(
    x: Array,
    kernel: Array,
    mode: ModeLike,
    starts: Sequence[int],
    out: Array,
    fill: complex,
    backend: BackendName | None,
) -> None:
    """The smaller array is the kernel.

    But SciPy takes the second one for the middle of a result, which shows where it holds what is no number: that meets
    the zeros beyond the array.
    """
    smaller = kernel.size > x.size
    if smaller and not fill and (mode != "same" or (_finite(x) and _finite(kernel))):
        x, kernel = kernel, x
    convolve_part(x, kernel, starts, out, fill=fill, backend=backend)
    if x.ndim == 1 and kernel.size > 1 and not (smaller and mode == "same") and not _finite(kernel):
        _mend_ends(x.astype(out.dtype), kernel.astype(out.dtype), starts[0], out)


def _finite(x: Array) -> bool:
    return x.dtype.kind not in "fc" or bool(np.isfinite(x).all())


def _mend_ends(x: Array, kernel: Array, start: int, out: Array) -> None:
    """Of signals with one axis SciPy multiplies what there is: a weight that is no number meets no zeros beyond."""
    reach = kernel.size - 1
    head = np.convolve(x[:reach], kernel)[start:reach]
    out[: head.size] = head[: out.size]
    tail = np.convolve(x[-reach:], kernel)[reach:]
    count = max(0, start + out.size - x.size)
    out[out.size - count :] = tail[:count]


def correlate(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: ModeLike = "full",
    method: MethodLike = "auto",
    *,
    nan_policy: NanPolicy = "propagate",
    backend: BackendName | None = None,
) -> Array:
    """Correlate two arrays with as many axes: `convolve` with the second one turned round and conjugated.

    Parameters
    ----------
    in1, in2, mode, method, nan_policy, backend
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
    x, kernel = read.two("correlate", in1, in2, nan_policy, backend)
    return _convolve("correlate", x, np.flip(read.conjugate(kernel)), mode, method, nan_policy, backend)


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
    x, kernel = arguments.array(in1, "in1"), arguments.window("in2", in2)
    read.check_mode(mode)
    if measure:
        times = {name: _seconds(x, kernel, mode, name) for name in ("fft", "direct")}
        return ("fft" if times["fft"] < times["direct"] else "direct"), times
    return _faster_method(x, kernel, mode)


def _faster_method(x: Array, kernel: Array, mode: ModeLike) -> Literal["direct", "fft"]:
    kinds = x.dtype.kind, kernel.dtype.kind
    if x.ndim != kernel.ndim or not x.size or not kernel.size:
        return "direct"
    if any(kind not in "biufc" for kind in kinds) or kinds == ("b", "b"):
        return "direct"
    if any(array.dtype.char in "gG" for array in (x, kernel)):
        return "direct"
    if any(kind in "iu" for kind in kinds):
        largest = [int(np.abs(np.ma.filled(array, 0)).max()) for array in (x, kernel)]
        if largest[0] * largest[1] * min(x.size, kernel.size) >= 2**52:
            return "direct"
    products = math.prod(read.parts(mode, x.shape, kernel.shape)[1]) * min(x.size, kernel.size)
    full = math.prod(read.parts("full", x.shape, kernel.shape)[1])
    steps = 3 * full * math.log2(full + 1)
    return "fft" if products > _PRODUCTS_PER_STEP * steps else "direct"


def _seconds(x: Array, kernel: Array, mode: ModeLike, method: str) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        convolve(x, kernel, mode, method)  # type: ignore[arg-type]
        best = min(best, time.perf_counter() - start)
    return best
