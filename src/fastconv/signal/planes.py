"""Convolutions of pictures with borders: `convolve2d`, `correlate2d`, `sepfir2d`."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fastconv.execution.memory import empty
from fastconv.filtering import arguments
from fastconv.filtering.application import LinearFilter
from fastconv.filtering.missing import NanPolicy
from fastconv.signal import operands as read
from fastconv.signal.direct import convolve_part
from fastconv.signal.operands import ModeLike
from fastconv.text import echo
from fastconv.typing import Array, ArrayLike, BackendName, PaddingMode

__all__ = ["convolve2d", "correlate2d", "sepfir2d"]

BoundaryLike = Literal["fill", "pad", "wrap", "circular", "symm", "symmetric"]
_BORDERS: dict[str, PaddingMode] = {
    "fill": "zeros",
    "pad": "zeros",
    "wrap": "circular",
    "circular": "circular",
    "symm": "symmetric",
    "symmetric": "symmetric",
}


def convolve2d(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: ModeLike = "full",
    boundary: BoundaryLike = "fill",
    fillvalue: complex | ArrayLike = 0,
    *,
    nan_policy: NanPolicy = "propagate",
    backend: BackendName | None = None,
) -> Array:
    """Convolve a picture with a kernel.

    Parameters
    ----------
    in1, in2 : array_like
        With two axes; `in1` may be a masked array.
    mode : {"full", "same", "valid"}
        As for `convolve`.
    boundary : {"fill", "wrap", "symm"}
        What lies beyond the picture: `fillvalue`, its other end, or its mirror image, pixels at the edge twice.
    fillvalue : scalar
    nan_policy : {"propagate", "omit", "interpolate"}
        What becomes of windows with missing pixels of `in1`, as for `convolve`. With ``fillvalue=nan`` the pixels
        beyond the picture are missing for the last two.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the dtype that both promote to; integers are exact, and wrap. A masked array where `in1` is one.

    Raises
    ------
    ValueError
        If shapes or options do not fit, elements of `in2` are masked, or they sum to 0 and are to be scaled.
    TypeError
        If pixels may be missing of complex numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.convolve2d(np.arange(9).reshape(3, 3), [[1, 0, -1]], mode="same", boundary="symm")
    array([[1, 2, 1],
           [1, 2, 1],
           [1, 2, 1]])
    """
    x, kernel = _two("convolve2d", in1, in2, mode, nan_policy, backend)
    starts, shape = read.parts(mode, x.shape, kernel.shape)
    return _bordered("convolve2d", x, kernel, mode, starts, shape, boundary, fillvalue, nan_policy, backend)


def correlate2d(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: ModeLike = "full",
    boundary: BoundaryLike = "fill",
    fillvalue: complex | ArrayLike = 0,
    *,
    nan_policy: NanPolicy = "propagate",
    backend: BackendName | None = None,
) -> Array:
    """Correlate a picture with a kernel: `convolve2d` with the kernel turned round and conjugated.

    Parameters
    ----------
    in1, in2, mode, boundary, fillvalue, nan_policy, backend
        As for `convolve2d`.

    Returns
    -------
    ndarray

    Notes
    -----
    As in SciPy, the middle that ``mode="same"`` gives lies a pixel further on where the kernel has an even size.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.correlate2d(np.arange(9).reshape(3, 3), [[1, 0, -1]], mode="valid")
    array([[-2],
           [-2],
           [-2]])
    """
    x, kernel = _two("correlate2d", in1, in2, mode, nan_policy, backend)
    if read.wants_swap(mode, x.shape, kernel.shape):
        x, kernel = read.conjugate(x), np.flip(kernel)  # SciPy's
    else:
        kernel = np.flip(read.conjugate(kernel))
    starts, shape = read.parts(mode, x.shape, kernel.shape)
    if mode == "same":
        starts = [taps // 2 for taps in kernel.shape]
    return _bordered("correlate2d", x, kernel, mode, starts, shape, boundary, fillvalue, nan_policy, backend)


def _two(
    op: str,
    in1: ArrayLike,
    in2: ArrayLike,
    mode: object,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> tuple[Array, Array]:
    x, kernel = read.two(op, in1, in2, nan_policy, backend)
    if x.ndim != 2:
        raise ValueError(f"{op} inputs must both be 2-D arrays: they have {x.ndim} and {kernel.ndim} axes")
    read.check_mode(mode)
    return x, kernel


def _bordered(
    op: str,
    x: Array,
    kernel: Array,
    mode: str,
    starts: list[int],
    shape: tuple[int, ...],
    boundary: object,
    fillvalue: complex | ArrayLike,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> Array:
    if boundary not in _BORDERS:
        raise ValueError(
            "Acceptable boundary flags are 'fill', 'circular' (or 'wrap'), and 'symmetric' (or 'symm'), "
            f"not {boundary!r}."
        )
    dtype = np.result_type(x.dtype, kernel.dtype)
    border = _BORDERS[str(boundary)]
    fill = _fill(fillvalue, dtype) if border == "zeros" else 0  # as SciPy, which looks at it where it is seen
    swapped = read.wants_swap(mode, x.shape, kernel.shape)
    if min(shape) < 0:
        raise ValueError(
            f"{op}: the shapes are {x.shape} and {kernel.shape}, but one axis may not be empty in both"
        )
    if swapped:
        border, fill = "zeros", 0  # beyond the kernel, which lies within the picture
    if not kernel.size or not (x.size or fill):
        return np.zeros(shape, dtype)

    def run(x: Array, out: Array, fill: Any) -> None:
        if swapped and not fill:
            convolve_part(kernel, x, starts, out, backend=backend)
        else:
            convolve_part(x, kernel, starts, out, border, fill, backend)

    reaches = read.reaches(starts, kernel.shape, border)
    return LinearFilter(op, run, reaches, [kernel], fill, backend, nan_policy).of_shape(x, shape, dtype)


def _fill(value: complex | ArrayLike, dtype: np.dtype[Any]) -> Any:
    array = np.asarray(value)
    if array.size != 1:
        raise ValueError("`fillvalue` must be scalar or an array with one element.")
    if array.dtype.kind == "c" and dtype.kind != "c":
        raise ValueError(f"could not cast `fillvalue` directly to the output type {dtype}.")
    if dtype.kind in "biu":
        try:
            number = array.item()
            whole = number if isinstance(number, int) else int(complex(number).real)
            return dtype.type(whole)  # refuses what is out of range
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"could not cast `fillvalue`, {echo(value)}, to the output type {dtype}."
            ) from None
    with np.errstate(all="ignore"):
        return array.astype(dtype).reshape(())[()]


def sepfir2d(
    input: ArrayLike,
    hrow: ArrayLike,
    hcol: ArrayLike,
    *,
    nan_policy: NanPolicy = "propagate",
    backend: BackendName | None = None,
) -> Array:
    """Convolve a picture with a column of numbers times a row of them; beyond it lies its mirror image.

    Parameters
    ----------
    input : array_like
        With two axes; may be a masked array.
    hrow, hcol : array_like
        The factors along rows and along columns, of odd length.
    nan_policy : {"propagate", "omit", "interpolate"}
        What becomes of windows with missing pixels, as for `convolve`.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Float32 where the picture fits into that, float64 or complex otherwise. A masked array where `input` is one.

    Raises
    ------
    ValueError
        If a factor has an even length or masked elements, an array too few axes, or factors to be scaled sum to 0.
    TypeError
        If a factor does not fit into the result's dtype, or pixels may be missing of complex numbers.

    Notes
    -----
    Factors longer than the picture are followed by SciPy with numbers from elsewhere in memory; here the picture is
    mirrored as often as it takes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.sepfir2d(np.eye(3), np.array([1.0, 2, 1]), np.array([0.0, 1, 0]))
    array([[3., 1., 0.],
           [1., 2., 1.],
           [0., 1., 3.]])
    """
    x, row, column = arguments.array(input), arguments.window("hrow", hrow), arguments.window("hcol", hcol)
    if x.ndim != 2 or row.ndim != 1 or column.ndim != 1:
        raise ValueError(
            "sepfir2d: input needs two axes, hrow and hcol one: "
            f"object of too small depth for desired array, with {x.ndim}, {row.ndim} and {column.ndim}"
        )
    dtype = np.result_type(x.dtype, np.float32)
    if dtype.char not in "fdFD":
        raise TypeError(
            f"sepfir2d: input has dtype {x.dtype}, but needs floats or complex numbers of up to 128 bits"
        )
    for name, factor in (("hrow", row), ("hcol", column)):
        if not np.can_cast(factor.dtype, dtype, "safe"):
            raise TypeError(f"sepfir2d: Cannot cast {name} from {factor.dtype} to {dtype}")
        if not factor.size % 2:
            raise ValueError(f"hrow and hcol must be odd length: {name} has {factor.size} elements")
    factors = row[None, :], column[:, None]

    def run(x: Array, out: Array, _: complex) -> None:
        middle = empty("sepfir2d", out.shape, out.dtype)
        for source, factor, target in ((x, factors[0], middle), (middle, factors[1], out)):
            starts = [(taps - 1) // 2 for taps in factor.shape]
            convolve_part(source, factor.astype(dtype), starts, target, "symmetric", backend=backend)

    starts = [(column.size - 1) // 2, (row.size - 1) // 2]
    reaches = read.reaches(starts, (column.size, row.size), "symmetric")
    return LinearFilter("sepfir2d", run, reaches, factors, 0.0, backend, nan_policy).of_shape(
        x, x.shape, dtype
    )
