"""Convolutions of pictures with borders: `convolve2d`, `correlate2d`, `sepfir2d`."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

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
    backend: BackendName | None = None,
) -> Array:
    """Convolve a picture with a kernel.

    Parameters
    ----------
    in1, in2 : array_like
        With two axes.
    mode : {"full", "same", "valid"}
        As for `convolve`.
    boundary : {"fill", "wrap", "symm"}
        What lies beyond the picture: `fillvalue`, its other end, or its mirror image, pixels at the edge twice.
    fillvalue : scalar
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the dtype that both promote to; integers are exact, and wrap.

    Raises
    ------
    ValueError
        If shapes or options do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.convolve2d(np.arange(9).reshape(3, 3), [[1, 0, -1]], mode="same", boundary="symm")
    array([[1, 2, 1],
           [1, 2, 1],
           [1, 2, 1]])
    """
    x, kernel = _two(in1, in2, mode, "convolve2d")
    if read.wants_swap(mode, x.shape, kernel.shape):
        x, kernel = kernel, x
    parts = [read.part(mode, size, taps) for size, taps in zip(x.shape, kernel.shape, strict=True)]
    return _bordered(x, kernel, parts, boundary, fillvalue, backend)


def correlate2d(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: ModeLike = "full",
    boundary: BoundaryLike = "fill",
    fillvalue: complex | ArrayLike = 0,
    *,
    backend: BackendName | None = None,
) -> Array:
    """Correlate a picture with a kernel: `convolve2d` with the kernel turned round and conjugated.

    Parameters
    ----------
    in1, in2, mode, boundary, fillvalue, backend
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
    x, kernel = _two(in1, in2, mode, "correlate2d")
    swapped = read.wants_swap(mode, x.shape, kernel.shape)
    if swapped:
        x, kernel = kernel, x
    kernel = np.flip(read.conjugate(kernel))
    parts = [read.part(mode, size, taps) for size, taps in zip(x.shape, kernel.shape, strict=True)]
    if mode == "same":
        parts = [(taps // 2, size) for size, taps in zip(x.shape, kernel.shape, strict=True)]
    result = _bordered(x, kernel, parts, boundary, fillvalue, backend)
    return np.flip(result) if swapped else result


def _two(in1: ArrayLike, in2: ArrayLike, mode: object, name: str) -> tuple[Array, Array]:
    x, kernel = read.array("in1", in1), read.array("in2", in2)
    if x.ndim != 2 or kernel.ndim != 2:
        raise ValueError(f"{name} inputs must both be 2-D arrays: they have {x.ndim} and {kernel.ndim} axes")
    read.check_mode(mode)
    return x, kernel


def _bordered(
    x: Array,
    kernel: Array,
    parts: list[tuple[int, int]],
    boundary: object,
    fillvalue: complex | ArrayLike,
    backend: BackendName | None,
) -> Array:
    if boundary not in _BORDERS:
        raise ValueError(
            "Acceptable boundary flags are 'fill', 'circular' (or 'wrap'), and 'symmetric' (or 'symm'), "
            f"not {boundary!r}."
        )
    dtype = np.result_type(x, kernel)
    border = _BORDERS[str(boundary)]
    fill = _fill(fillvalue, dtype) if border == "zeros" else 0  # as SciPy, which looks at it where it is seen
    starts, shape = [start for start, _ in parts], [max(size, 0) for _, size in parts]
    if not kernel.size or not (x.size or fill):
        return np.zeros(shape, dtype)
    return convolve_part(x, kernel, starts, shape, border, fill, backend)


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
    input: ArrayLike, hrow: ArrayLike, hcol: ArrayLike, *, backend: BackendName | None = None
) -> Array:
    """Convolve a picture with a column of numbers times a row of them; beyond it lies its mirror image.

    Parameters
    ----------
    input : array_like
        With two axes.
    hrow, hcol : array_like
        The factors along rows and along columns, of odd length.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Float32 where the picture fits into that, float64 or complex otherwise.

    Raises
    ------
    ValueError
        If a factor has an even length, or an array too few axes.
    TypeError
        If a factor does not fit into the result's dtype.

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
    x, row, column = read.array("input", input), read.array("hrow", hrow), read.array("hcol", hcol)
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
    result = x.astype(dtype)
    for factor in (row[None, :], column[:, None]):
        starts = [(taps - 1) // 2 for taps in factor.shape]
        result = convolve_part(result, factor.astype(dtype), starts, x.shape, "symmetric", backend=backend)
    return result
