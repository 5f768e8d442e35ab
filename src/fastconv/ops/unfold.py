"""im2col and col2im as operations of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import arguments
from fastconv.backends import resolve
from fastconv.execution.arrays import Result, as_array, images, native
from fastconv.execution.memory import memory_errors
from fastconv.problem.convolution import ConvOptions, ConvProblem
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.settings.precision import get_precision
from fastconv.typing import Array, ArrayLike, BackendName, PaddingLike, PairLike

__all__ = ["fold", "unfold"]


def window_problem(
    op: str,
    shape: tuple[int, ...],
    kernel_size: PairLike,
    dilation: PairLike,
    padding: PaddingLike,
    stride: PairLike,
    dtype: np.dtype[Any],
) -> ConvProblem:
    """The windows of an image of that shape, as a convolution with one filter."""
    kernel = arguments.pair(op, "kernel_size", kernel_size, 1)
    options = ConvOptions.read(op, stride, padding, dilation, 1)
    return options.problem(shape, (1, shape[1], *kernel), dtype, get_precision())


def columns_shape(problem: ConvProblem) -> tuple[int, int, int]:
    rows = problem.channels * problem.kernel[0] * problem.kernel[1]
    return problem.batch, rows, problem.out_size[0] * problem.out_size[1]


def unfold(
    x: ArrayLike,
    kernel_size: PairLike,
    dilation: PairLike = 1,
    padding: PaddingLike = 0,
    stride: PairLike = 1,
    *,
    backend: BackendName | None = None,
) -> Array:
    """Every window of an image as a column (im2col).

    Parameters
    ----------
    x : array_like
        ``(N, C, H, W)`` or ``(C, H, W)``; any real dtype, which is kept.
    kernel_size, dilation, padding, stride
        As for `conv2d`.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        ``(N, C * kH * kW, oH * oW)``.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.unfold(np.arange(6).reshape(1, 2, 3), 2)
    array([[0, 1],
           [1, 2],
           [3, 4],
           [4, 5]])
    """
    op = "unfold"
    array, batched = images(op, "x", x, "NCHW")
    dtype = array.dtype.newbyteorder("=")
    problem = window_problem(op, array.shape, kernel_size, dilation, padding, stride, dtype)
    engine = resolve(op, backend)
    result = Result(op, columns_shape(problem), dtype, None, batched=batched)
    if problem.batch:
        with memory_errors(op):
            engine.unfold(problem, native(array, compute_dtype(dtype)), result.buffer)
    return result.value()


def fold(
    x: ArrayLike,
    output_size: PairLike,
    kernel_size: PairLike,
    dilation: PairLike = 1,
    padding: PaddingLike = 0,
    stride: PairLike = 1,
    *,
    backend: BackendName | None = None,
) -> Array:
    """Add columns back into an image (col2im): the transpose of `unfold`, not its inverse.

    Parameters
    ----------
    x : array_like
        ``(N, C * kH * kW, oH * oW)`` or one such matrix; integers are promoted together with float32.
    output_size : int or pair
        Height and width of the image.
    kernel_size, dilation, padding, stride
        Those of the `unfold`.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        ``(N, C, *output_size)``.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`; and if the columns are not those of such an image.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.fold(np.ones((4, 2)), (2, 3), 2)
    array([[[1., 2., 1.],
            [1., 2., 1.]]])
    """
    op = "fold"
    array = as_array(op, "x", x)
    if array.ndim not in (2, 3):
        raise ValueError(
            f"{op}: x has {array.ndim} dimensions (shape {array.shape}), but needs (N, C * kH * kW, L) or unbatched"
        )
    batched = array.ndim == 3
    columns = array if batched else array[np.newaxis]
    size = arguments.pair(op, "output_size", output_size, 1)
    kernel = arguments.pair(op, "kernel_size", kernel_size, 1)
    taps = kernel[0] * kernel[1]
    if columns.shape[1] == 0 or columns.shape[1] % taps:
        raise ValueError(
            f"{op}: x has {columns.shape[1]} rows, but needs a multiple of the kernel's "
            f"{kernel[0]}x{kernel[1]} = {taps}"
        )
    dtype = float_result(array.dtype)
    shape = (columns.shape[0], columns.shape[1] // taps, *size)
    problem = window_problem(op, shape, kernel, dilation, padding, stride, compute_dtype(dtype))
    windows = problem.out_size[0] * problem.out_size[1]
    if columns.shape[2] != windows:
        raise ValueError(
            f"{op}: x has {columns.shape[2]} columns, but an image of {size[0]}x{size[1]} has "
            f"{problem.out_size[0]}x{problem.out_size[1]} = {windows} windows"
        )
    engine = resolve(op, backend)
    result = Result(op, shape, dtype, None, batched=batched)
    if problem.batch:
        with memory_errors(op):
            engine.fold(problem, native(columns, problem.dtype), result.buffer)
    return result.value()
