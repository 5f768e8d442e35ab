"""Gradients of what sums over windows: averages and norms. Those of maxima are in `pool_max.py`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np

from fastconv import arguments
from fastconv.backends import resolve
from fastconv.backends.protocol import Backend
from fastconv.execution.arrays import Result, as_array, native
from fastconv.execution.memory import memory_errors
from fastconv.execution.pooling import check_windows
from fastconv.grad.operands import Shape, check_grad, read_grad, read_input_size
from fastconv.ops.pool import average_windows, norm_windows, read_power
from fastconv.ops.pool_adaptive import adaptive_windows
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import channel_axis, plane_size, spatial_axes
from fastconv.problem.pooling import PoolProblem, Reducer, Windows
from fastconv.typing import Array, ArrayLike, BackendName, Layout, PaddingLike, PairLike, ShapeLike

__all__ = ["adaptive_avg_pool2d", "avg_pool2d", "global_avg_pool2d", "lp_pool2d"]


def avg_pool2d(
    grad_output: ArrayLike,
    input_size: ShapeLike,
    kernel_size: PairLike,
    stride: PairLike | None = None,
    padding: PaddingLike = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: SupportsIndex | None = None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.avg_pool2d`: every window's gradient in equal shares to its pixels.

    Parameters
    ----------
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    input_size : sequence of int
        The full shape of the forward call's `x`: ``(N, C, H, W)``, ``(N, H, W, C)`` with ``layout="NHWC"``, or
        without `N`.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout
        Those of the forward call, as for `fastconv.avg_pool2d`.
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of shape `input_size` and of the dtype of `grad_output`; integers are promoted together with float32.

    Raises
    ------
    ValueError
        If no forward call could have had these sizes and options; the message names the argument.
    TypeError
        If an argument is of the wrong kind.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.avg_pool2d(np.array([[[2.0, 4.0]]]), (1, 1, 3), (1, 2), stride=1)
    array([[[1., 3., 2.]]])
    """
    op = "grad.avg_pool2d"
    shape, full, batched = read_input_size(op, input_size, layout)
    windows = average_windows(
        op, plane_size(full, layout), kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )  # fmt: skip
    return _spread(op, grad_output, shape, full, batched, windows, layout, out, backend)


def adaptive_avg_pool2d(
    grad_output: ArrayLike,
    input_size: ShapeLike,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.adaptive_avg_pool2d`; the shape of `grad_output` says its `output_size`.

    Parameters
    ----------
    grad_output : array_like
        ``(N, C, oH, oW)``, ``(N, oH, oW, C)`` with ``layout="NHWC"``, or without `N`.
    input_size, layout, out, backend
        As for `avg_pool2d`.

    Returns
    -------
    ndarray
        As for `avg_pool2d`.

    Raises
    ------
    ValueError, TypeError
        As for `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.adaptive_avg_pool2d(np.array([[[2.0, 4.0]]]), (1, 1, 3))
    array([[[1., 3., 2.]]])
    """
    op = "grad.adaptive_avg_pool2d"
    shape, full, batched = read_input_size(op, input_size, layout)
    grad = read_grad(op, grad_output, shape, layout)
    rows, columns = spatial_axes(layout)
    windows = adaptive_windows(op, plane_size(full, layout), (grad.shape[rows], grad.shape[columns]))
    return _spread(op, grad, shape, full, batched, windows, layout, out, backend)


def global_avg_pool2d(
    grad_output: ArrayLike,
    input_size: ShapeLike,
    *,
    keepdims: bool = True,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.global_avg_pool2d`: every channel's gradient in equal shares to its plane.

    Parameters
    ----------
    grad_output : array_like
        ``(N, C, 1, 1)``, or ``(N, 1, 1, C)`` with ``layout="NHWC"``; with ``keepdims=False`` ``(N, C)``. All without
        `N` where the image was.
    keepdims : bool
        That of the forward call.
    input_size, layout, out, backend
        As for `avg_pool2d`.

    Returns
    -------
    ndarray
        As for `avg_pool2d`.

    Raises
    ------
    ValueError, TypeError
        As for `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.global_avg_pool2d(np.array([4.0]), (1, 2, 2), keepdims=False)
    array([[[1., 1.],
            [1., 1.]]])
    """
    op = "grad.global_avg_pool2d"
    shape, full, batched = read_input_size(op, input_size, layout)
    grad = read_global(op, as_array(op, "grad_output", grad_output), shape, keepdims, layout)
    windows = adaptive_windows(op, plane_size(full, layout), 1)
    return _spread(op, grad, shape, full, batched, windows, layout, out, backend)


def read_global(op: str, grad: Array, shape: Shape, keepdims: bool, layout: Layout) -> Array:
    """`grad_output` of a global pooling of an image of that `shape`, with both spatial axes."""
    axes = spatial_axes(layout)
    keepdims = arguments.flag(op, "keepdims", keepdims)
    kept = list(shape)
    for axis in axes:
        kept[axis] = 1
    squeezed = tuple(np.delete(kept, axes).tolist())
    check_grad(op, grad.shape, tuple(kept) if keepdims else squeezed, "input_size", shape)
    return grad.reshape(kept)


def _spread(
    op: str,
    grad_output: ArrayLike,
    shape: Shape,
    full: Shape,
    batched: bool,
    windows: tuple[Windows, Windows],
    layout: Layout,
    out: Array | None,
    backend: BackendName | None,
) -> Array:
    """The gradient of the means of `windows` of images of `shape`, or `full` with a batch."""
    engine = resolve(op, backend)
    grad = as_array(op, "grad_output", grad_output)
    dtype = float_result(grad.dtype)
    problem = pool_problem(full, layout, windows, compute_dtype(dtype), "sum")
    expected = problem.result_shape
    check_grad(op, grad.shape, expected if batched else expected[1:], "input_size", shape)
    result = Result(op, full, dtype, out, grad, batched=batched)
    check_windows(op, engine, problem)
    if problem.batch:
        with memory_errors(op):
            engine.pool_gradient(problem, native(grad, problem.dtype).reshape(expected), result.buffer)
    return result.value()


def pool_problem(
    full: Shape,
    layout: Layout,
    windows: tuple[Windows, Windows],
    dtype: np.dtype[Any],
    reducer: Reducer,
    power: float = 1.0,
) -> PoolProblem:
    channels = full[channel_axis(layout)]
    return PoolProblem(full[0], channels, plane_size(full, layout), layout, dtype, *windows, reducer, power)


def lp_pool2d(
    grad_output: ArrayLike,
    x: ArrayLike,
    norm_type: SupportsFloat,
    kernel_size: PairLike,
    stride: PairLike | None = None,
    ceil_mode: bool = False,
    *,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.lp_pool2d`: ``sign(x) * (abs(x) / y) ** (p - 1) * grad_output``, summed.

    The sum is over the windows that hold a pixel, and `y` are their norms. A window whose norm is 0 adds nothing; with
    an infinite `norm_type` the whole gradient of a window goes to the first of its largest absolute values.

    Parameters
    ----------
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    x : array_like
        The input of the forward call.
    norm_type, kernel_size, stride, ceil_mode, padding, dilation, layout
        Those of the forward call, as for `fastconv.lp_pool2d`.
    out, backend
        As for `avg_pool2d`.

    Returns
    -------
    ndarray
        Of the shape of `x`; the dtype is that of `x` and `grad_output` promoted together.

    Raises
    ------
    ValueError, TypeError
        As for `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[3.0, -4.0]]])
    >>> fastconv.grad.lp_pool2d(np.array([[[5.0]]]), x, 2, (1, 2))
    array([[[ 3., -4.]]])
    """
    op = "grad.lp_pool2d"
    power = read_power(op, norm_type)
    array, grad = as_array(op, "x", x), as_array(op, "grad_output", grad_output)
    shape, full, batched = read_input_size(op, array.shape, layout, "x")
    windows = norm_windows(
        op, plane_size(full, layout), kernel_size, stride, padding, dilation, ceil_mode
    )  # fmt: skip
    engine = resolve(op, backend)
    dtype = float_result(array.dtype, grad.dtype)
    compute = compute_dtype(dtype)
    largest = math.isinf(power)
    # As in the forward direction, powers need the range of float64.
    inner = compute if largest else np.dtype(np.float64)
    problem = pool_problem(full, layout, windows, inner, "max" if largest else "power", power)
    expected = problem.result_shape
    check_grad(op, grad.shape, expected if batched else expected[1:], "x", shape)
    result = Result(op, full, dtype, out, array, grad, batched=batched)
    check_windows(op, engine, problem)
    if problem.batch:
        image, slopes = native(array, inner).reshape(full), native(grad, inner).reshape(expected)
        backward = _to_largest if largest else _to_all
        with memory_errors(op):
            buffer = result.buffer if inner == compute else np.empty(full, inner)
            backward(engine, problem, image, slopes, buffer)
        if buffer is not result.buffer:
            result.buffer[...] = buffer
    return result.value()


def _to_largest(backend: Backend, problem: PoolProblem, x: Array, grad: Array, out: Array) -> None:
    largest, indices = np.empty_like(grad), np.empty(grad.shape, np.int64)
    backend.pool(problem, np.abs(x), largest, indices, None)
    backend.scatter_add(grad, indices, problem.layout, out)
    np.multiply(out, np.sign(x), out=out, where=out != 0)


def _to_all(backend: Backend, problem: PoolProblem, x: Array, grad: Array, out: Array) -> None:
    size, norm, p = np.abs(x), np.empty_like(grad), problem.power
    backend.pool(problem, x, norm, None, None)
    with np.errstate(all="ignore"):
        shares = np.where(norm == 0, 0, grad * norm ** (1 - p))
        backend.pool_gradient(replace(problem, reducer="sum"), shares, out)
        # What no window gave anything to stays 0, whatever its own power is.
        factor = np.where(size == 0, 0, np.sign(x) * size ** (p - 1))
        np.multiply(out, factor, out=out, where=out != 0)
