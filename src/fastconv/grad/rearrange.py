"""Gradients of what moves pixels without weights: padding, im2col and col2im."""

from __future__ import annotations

from fastconv import arguments
from fastconv.backends import resolve
from fastconv.backends.protocol import Backend
from fastconv.execution.arrays import Result, as_array, images, native
from fastconv.execution.memory import memory_errors
from fastconv.grad.operands import check_grad, read_input_size
from fastconv.ops.unfold import columns_shape, window_problem
from fastconv.problem import options as opt
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import batch_shape, channel_axis, check_layout, plane_size
from fastconv.problem.padding import Borders, sources, whole_borders
from fastconv.typing import (
    Array,
    ArrayLike,
    BackendName,
    Layout,
    PaddingLike,
    PaddingMode,
    PairLike,
    ShapeLike,
    SidesLike,
)

__all__ = ["fold", "pad2d", "unfold"]


def add_padding(
    backend: Backend, grad_output: Array, borders: Borders, mode: PaddingMode, layout: Layout, out: Array
) -> None:
    """Fill `out`, the gradient of an image, from that of the padded image; both are what a backend takes."""
    rows, columns = (sources(border, mode) for border in borders)
    backend.pad_gradient(grad_output, rows, columns, layout, out)


def pad2d(
    grad_output: ArrayLike,
    padding: SidesLike,
    mode: PaddingMode = "zeros",
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.pad2d`: every pixel's sum over the places that it was copied to.

    Parameters
    ----------
    grad_output : array_like
        The gradient of the padded image or batch of images.
    padding, mode, layout
        Those of the forward call.
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping `grad_output`.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Smaller than `grad_output` by `padding`; integers are promoted together with float32.

    Raises
    ------
    ValueError, TypeError
        As for `fastconv.pad2d`; and if the padding leaves nothing of `grad_output`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.pad2d(np.array([[[1.0, 2.0, 4.0, 8.0]]]), ((0, 0), (2, 0)), mode="replicate")
    array([[[7., 8.]]])
    """
    op = "grad.pad2d"
    check_layout(op, layout)
    arguments.choice(op, "mode", mode, opt.PADDING_MODES)
    grad, batched = images(op, "grad_output", grad_output, layout)
    sides = opt.padding_in_numbers(op, padding)
    rows, columns = plane_size(grad.shape, layout)
    height, width = rows - sides[0] - sides[1], columns - sides[2] - sides[3]
    if height < 1 or width < 1:
        raise ValueError(
            f"{op}: grad_output is {rows}x{columns}, but the padding "
            f"{sides} leaves {height}x{width} of it for the image"
        )
    engine = resolve(op, backend)
    dtype = float_result(grad.dtype)
    shape = batch_shape(layout, grad.shape[0], grad.shape[channel_axis(layout)], (height, width))
    result = Result(op, shape, dtype, out, grad, batched=batched)
    if shape[0]:
        borders = whole_borders((height, width), sides)
        with memory_errors(op):
            add_padding(engine, native(grad, compute_dtype(dtype)), borders, mode, layout, result.buffer)
    return result.value()


def unfold(
    grad_output: ArrayLike,
    input_size: ShapeLike,
    kernel_size: PairLike,
    dilation: PairLike = 1,
    padding: PaddingLike = 0,
    stride: PairLike = 1,
    *,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.unfold`, which is `fastconv.fold`.

    Parameters
    ----------
    grad_output : array_like
        ``(N, C * kH * kW, oH * oW)``, or one such matrix.
    input_size : sequence of int
        The full shape of the forward call's `x`: ``(N, C, H, W)`` or ``(C, H, W)``.
    kernel_size, dilation, padding, stride
        Those of the forward call.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of shape `input_size`; integers are promoted together with float32.

    Raises
    ------
    ValueError, TypeError
        As for `fastconv.unfold`; and if `grad_output` is not of the shape of its result.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.unfold(np.ones((4, 2)), (1, 2, 3), 2)
    array([[[1., 2., 1.],
            [1., 2., 1.]]])
    """
    op = "grad.unfold"
    size, full, batched = read_input_size(op, input_size, "NCHW")
    grad = as_array(op, "grad_output", grad_output)
    dtype = float_result(grad.dtype)
    problem = window_problem(op, full, kernel_size, dilation, padding, stride, compute_dtype(dtype))
    columns = columns_shape(problem)
    check_grad(op, grad.shape, columns if batched else columns[1:], "input_size", size)
    engine = resolve(op, backend)
    result = Result(op, full, dtype, None, batched=batched)
    if problem.batch:
        with memory_errors(op):
            engine.fold(problem, native(grad, problem.dtype).reshape(columns), result.buffer)
    return result.value()


def fold(
    grad_output: ArrayLike,
    output_size: PairLike,
    kernel_size: PairLike,
    dilation: PairLike = 1,
    padding: PaddingLike = 0,
    stride: PairLike = 1,
    *,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.fold`, which is `fastconv.unfold`.

    Parameters
    ----------
    grad_output : array_like
        ``(N, C, *output_size)`` or ``(C, *output_size)``.
    output_size : int or pair
        Height and width of the image.
    kernel_size, dilation, padding, stride
        Those of the forward call.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        ``(N, C * kH * kW, oH * oW)``; integers are promoted together with float32.

    Raises
    ------
    ValueError, TypeError
        As for `fastconv.fold`; and if `grad_output` is not an image of `output_size`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.fold(np.arange(6.0).reshape(1, 2, 3), (2, 3), 2)
    array([[0., 1.],
           [1., 2.],
           [3., 4.],
           [4., 5.]])
    """
    op = "grad.fold"
    size = arguments.pair(op, "output_size", output_size, 1)
    grad, batched = images(op, "grad_output", grad_output, "NCHW")
    if grad.shape[2:] != size:
        raise ValueError(f"{op}: grad_output has images of {grad.shape[2:]}, but output_size is {size}")
    dtype = float_result(grad.dtype)
    problem = window_problem(op, grad.shape, kernel_size, dilation, padding, stride, compute_dtype(dtype))
    engine = resolve(op, backend)
    result = Result(op, columns_shape(problem), dtype, None, batched=batched)
    if problem.batch:
        with memory_errors(op):
            engine.unfold(problem, native(grad, problem.dtype), result.buffer)
    return result.value()
