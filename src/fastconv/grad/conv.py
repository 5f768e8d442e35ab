"""Gradients of convolution: one by one, and all of one call together."""

from __future__ import annotations

from typing import SupportsFloat, SupportsIndex

from fastconv.backends import resolve
from fastconv.execution.arrays import Result, as_array, as_in_memory, images, native
from fastconv.execution.convolution import read_weight
from fastconv.grad.convolution_case import Gradients, all_gradients, one_gradient
from fastconv.grad.operands import read_input_size, read_weight_size
from fastconv.problem.convolution import ConvOptions
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import channel_axis, check_layout
from fastconv.typing import (
    ActivationLike,
    Array,
    ArrayLike,
    BackendName,
    Layout,
    NeedsLike,
    PaddingLike,
    PaddingMode,
    PairLike,
    Precision,
    ShapeLike,
)

__all__ = ["conv2d", "conv2d_bias", "conv2d_input", "conv2d_weight", "depthwise_conv2d"]


def conv2d_input(
    input_size: ShapeLike,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    groups: SupportsIndex = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: SupportsFloat = 0.0,
    layout: Layout = "NCHW",
    precision: Precision | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.conv2d`: a transposed convolution of `grad_output` with the same weights.

    Parameters
    ----------
    input_size : sequence of int
        The full shape of the forward call's `x`: ``(N, C_in, H, W)``, ``(N, H, W, C_in)`` with ``layout="NHWC"``, or
        without `N`. With strides, images of several sizes have outputs of one size.
    weight : array_like
        That of the forward call.
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    stride, padding, dilation, groups, padding_mode, padding_value, layout
        Those of the forward call, as for `fastconv.conv2d`.
    precision, algorithm
        Of the transposed convolution, as for `fastconv.conv_transpose2d`.
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of shape `input_size`. The dtype is that of `weight` and `grad_output` promoted together, as in
        `fastconv.conv2d`.

    Raises
    ------
    ValueError
        If no forward call could have had these sizes and options; the message names the argument.
    TypeError
        If an argument is of the wrong kind.

    References
    ----------
    V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, chapter 4.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> weight = np.array([[[[1.0, 10.0, 100.0]]]])
    >>> fastconv.grad.conv2d_input((1, 1, 5), weight, np.array([[[1.0, 2.0]]]), stride=(1, 2))
    array([[[  1.,  10., 102.,  20., 200.]]])
    """
    op = "grad.conv2d_input"
    shape, _, _ = read_input_size(op, input_size, layout)
    array = read_weight(op, "weight", weight)
    options = ConvOptions.read(
        op, stride, padding, dilation, groups, padding_mode, padding_value, layout, None, precision, algorithm,
        x_name="input_size",
    )  # fmt: skip
    return one_gradient(options, shape, array, grad_output, (True, False, False), out=out, backend=backend)


def conv2d_weight(
    x: ArrayLike,
    weight_size: ShapeLike,
    grad_output: ArrayLike,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    groups: SupportsIndex = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: SupportsFloat = 0.0,
    layout: Layout = "NCHW",
    precision: Precision | None = None,
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the weights of `fastconv.conv2d`.

    ``grad_weight[k, c, r, s] = sum over n, i, j of
    grad_output[n, k, i, j] * x[n, c, i * stride + r * dilation - padding, j * stride + s * dilation - padding]``

    Parameters
    ----------
    x : array_like
        That of the forward call.
    weight_size : sequence of int
        The full shape of the forward call's `weight`: ``(C_out, C_in // groups, kH, kW)``, or
        ``(kH, kW, C_in // groups, C_out)`` with ``layout="NHWC"``.
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    stride, padding, dilation, groups, padding_mode, padding_value, layout
        Those of the forward call, as for `fastconv.conv2d`.
    precision, out, backend
        As for `conv2d_input`.

    Returns
    -------
    ndarray
        Of shape `weight_size`; zeros where the batch is empty. The dtype is that of `x` and `grad_output` promoted
        together.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d_input`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[1.0, 2.0, 4.0, 8.0]]])
    >>> fastconv.grad.conv2d_weight(x, (1, 1, 1, 3), np.array([[[1.0, -1.0]]]))
    array([[[[-1., -2., -4.]]]])
    """
    op = "grad.conv2d_weight"
    array, size = as_array(op, "x", x), read_weight_size(op, weight_size)
    options = ConvOptions.read(
        op, stride, padding, dilation, groups, padding_mode, padding_value, layout, None, precision,
        weight_name="weight_size",
    )  # fmt: skip
    return one_gradient(options, array, size, grad_output, (False, True, False), out=out, backend=backend)


def conv2d_bias(
    grad_output: ArrayLike,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the bias of a convolution, transposed or not: the sum of every channel.

    Parameters
    ----------
    grad_output : array_like
        ``(N, C_out, oH, oW)``, ``(N, oH, oW, C_out)`` with ``layout="NHWC"``, or without `N`.
    layout : {"NCHW", "NHWC"}
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping `grad_output`.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        ``(C_out,)``; zeros where the batch is empty.

    Raises
    ------
    ValueError, TypeError
        If shapes, options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.conv2d_bias(np.array([[[1.0, 2.0]], [[3.0, 4.0]]]))
    array([3., 7.])
    """
    op = "grad.conv2d_bias"
    check_layout(op, layout)
    grad, _ = images(op, "grad_output", grad_output, layout)
    engine = resolve(op, backend)
    dtype = float_result(grad.dtype)
    result = Result(op, (grad.shape[channel_axis(layout)],), dtype, out, grad)
    if grad.shape[0]:
        seen, (slopes,) = as_in_memory(layout, native(grad, compute_dtype(dtype)))
        engine.channel_sums(slopes, seen, result.buffer)
    else:
        result.buffer[...] = 0
    return result.value()


def conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    groups: SupportsIndex = 1,
    *,
    needs: NeedsLike = (True, True, True),
    padding_mode: PaddingMode = "zeros",
    padding_value: SupportsFloat = 0.0,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    output: ArrayLike | None = None,
    preactivation: ArrayLike | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> Gradients:
    """Gradients of the input, the weights and the bias of `fastconv.conv2d`, which share what they can.

    Parameters
    ----------
    x, weight : array_like
        Those of the forward call.
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    stride, padding, dilation, groups, padding_mode, padding_value, layout
        Those of the forward call, as for `fastconv.conv2d`.
    needs : sequence of 3 bool
        Which gradients to compute: of `x`, of `weight`, of the bias.
    activation : str or tuple, optional
        That of the forward call: `grad_output` is first multiplied by its slope, as by `activation`, which needs
        one of the next two.
    output : array_like, optional
        The forward call's result.
    preactivation : array_like, optional
        The activation's input.
    precision, algorithm, backend
        As for `conv2d_input`.

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        Of the shapes of `x`, `weight` and the bias; None where not needed. The dtype of all is that of the arrays
        promoted together. That of a `residual` is `grad_output`, or what `activation` makes of it.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d_input`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x, weight = np.array([[[1.0, 2.0, 4.0]]]), np.array([[[[-1.0, 1.0]]]])
    >>> y = fastconv.conv2d(x, weight)
    >>> grad_x, grad_weight, grad_bias = fastconv.grad.conv2d(x, weight, np.ones_like(y))
    >>> grad_x, grad_weight, grad_bias
    (array([[[-1.,  0.,  1.]]]), array([[[[3., 6.]]]]), array([2.]))
    """
    op = "grad.conv2d"
    given = (
        stride,
        padding,
        dilation,
        groups,
        padding_mode,
        padding_value,
        layout,
        None,
        precision,
        algorithm,
    )
    return all_gradients(
        op, x, weight, grad_output, given, needs, activation, output, preactivation, backend
    )  # fmt: skip


def depthwise_conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    *,
    needs: NeedsLike = (True, True, True),
    padding_mode: PaddingMode = "zeros",
    padding_value: SupportsFloat = 0.0,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    output: ArrayLike | None = None,
    preactivation: ArrayLike | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> Gradients:
    """Gradients of the input, the weights and the bias of `fastconv.depthwise_conv2d`.

    Parameters
    ----------
    x, weight : array_like
        Those of the forward call.
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    stride, padding, dilation, padding_mode, padding_value, layout
        Those of the forward call.
    needs, activation, output, preactivation, precision, algorithm, backend
        As for `conv2d`.

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        As for `conv2d`.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d_input`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x, weight = np.ones((2, 1, 3)), np.array([[[[1.0, 2.0]]], [[[3.0, 4.0]]]])
    >>> grad_x, grad_weight, grad_bias = fastconv.grad.depthwise_conv2d(x, weight, np.ones((2, 1, 2)))
    >>> grad_x
    array([[[1., 3., 2.]],
    <BLANKLINE>
           [[3., 7., 4.]]])
    """
    op = "grad.depthwise_conv2d"
    given = (stride, padding, dilation, None, padding_mode, padding_value, layout, None, precision, algorithm)
    return all_gradients(
        op, x, weight, grad_output, given, needs, activation, output, preactivation, backend, depthwise=True
    )  # fmt: skip
