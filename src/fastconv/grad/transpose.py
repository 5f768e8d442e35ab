"""Gradients of transposed convolution, each of which is a plain convolution's other one."""

from __future__ import annotations

from typing import Any, SupportsIndex

from fastconv.execution.arrays import as_array
from fastconv.execution.convolution import read_weight
from fastconv.execution.known_calls import Given
from fastconv.grad.convolution_case import Gradients, all_gradients, one_gradient
from fastconv.grad.operands import read_input_size, read_weight_size
from fastconv.problem.convolution import ConvOptions
from fastconv.typing import (
    ActivationLike,
    Array,
    ArrayLike,
    BackendName,
    Layout,
    NeedsLike,
    PaddingLike,
    PairLike,
    Precision,
    ShapeLike,
)

__all__ = ["conv_transpose2d", "conv_transpose2d_input", "conv_transpose2d_weight"]


def transpose_given(
    op: str,
    stride: PairLike,
    padding: PaddingLike,
    output_padding: PairLike,
    groups: SupportsIndex,
    dilation: PairLike,
    layout: Layout,
    precision: Precision | None,
    algorithm: str | None,
) -> Given:
    """The options in the order of `ConvOptions.read`, which takes None for that of a plain convolution."""
    if output_padding is None:
        raise TypeError(f"{op}: output_padding is None, but needs an integer or a pair")
    return stride, padding, dilation, groups, "zeros", 0.0, layout, None, precision, algorithm, output_padding


def transpose_options(op: str, *options: Any, weight_name: str = "weight", x_name: str = "x") -> ConvOptions:
    """What `transpose_given` takes, read."""
    given = transpose_given(op, *options)
    return ConvOptions.read(op, *given, x_name=x_name, weight_name=weight_name)  # type: ignore[arg-type, misc]


def conv_transpose2d_input(
    input_size: ShapeLike,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    output_padding: PairLike = 0,
    groups: SupportsIndex = 1,
    dilation: PairLike = 1,
    *,
    layout: Layout = "NCHW",
    precision: Precision | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.conv_transpose2d`: a convolution of `grad_output` with the same weights.

    Parameters
    ----------
    input_size : sequence of int
        The full shape of the forward call's `x`: ``(N, C_in, H, W)``, ``(N, H, W, C_in)`` with ``layout="NHWC"``, or
        without `N`.
    weight : array_like
        That of the forward call.
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    stride, padding, output_padding, groups, dilation, layout
        Those of the forward call, as for `fastconv.conv_transpose2d`.
    precision, algorithm, out, backend
        As for `fastconv.conv2d`.

    Returns
    -------
    ndarray
        Of shape `input_size`. The dtype is that of `weight` and `grad_output` promoted together.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d_input`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> grad_output = np.array([[[1.0, 2.0, 4.0, 8.0]]])
    >>> fastconv.grad.conv_transpose2d_input((1, 1, 2), np.array([[[[1.0, 10.0]]]]), grad_output, stride=(1, 2))
    array([[[21., 84.]]])
    """
    op = "grad.conv_transpose2d_input"
    shape, _, _ = read_input_size(op, input_size, layout)
    array = read_weight(op, "weight", weight)
    options = transpose_options(
        op, stride, padding, output_padding, groups, dilation, layout, precision, algorithm, x_name="input_size"
    )  # fmt: skip
    return one_gradient(options, shape, array, grad_output, (True, False, False), out=out, backend=backend)


def conv_transpose2d_weight(
    x: ArrayLike,
    weight_size: ShapeLike,
    grad_output: ArrayLike,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    output_padding: PairLike = 0,
    groups: SupportsIndex = 1,
    dilation: PairLike = 1,
    *,
    layout: Layout = "NCHW",
    precision: Precision | None = None,
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the weights of `fastconv.conv_transpose2d`: `conv2d_weight` with `x` and `grad_output` exchanged.

    Parameters
    ----------
    x : array_like
        That of the forward call.
    weight_size : sequence of int
        The full shape of the forward call's `weight`: ``(C_in, C_out // groups, kH, kW)``, or
        ``(kH, kW, C_out // groups, C_in)`` with ``layout="NHWC"``.
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    stride, padding, output_padding, groups, dilation, layout
        Those of the forward call, as for `fastconv.conv_transpose2d`.
    precision, out, backend
        As for `fastconv.conv2d`.

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
    >>> x, grad_output = np.array([[[1.0, 10.0]]]), np.array([[[1.0, 2.0, 4.0, 8.0]]])
    >>> fastconv.grad.conv_transpose2d_weight(x, (1, 1, 1, 2), grad_output, stride=(1, 2))
    array([[[[41., 82.]]]])
    """
    op = "grad.conv_transpose2d_weight"
    array, size = as_array(op, "x", x), read_weight_size(op, weight_size)
    options = transpose_options(
        op, stride, padding, output_padding, groups, dilation, layout, precision, None, weight_name="weight_size"
    )  # fmt: skip
    return one_gradient(options, array, size, grad_output, (False, True, False), out=out, backend=backend)


def conv_transpose2d(
    x: ArrayLike,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    output_padding: PairLike = 0,
    groups: SupportsIndex = 1,
    dilation: PairLike = 1,
    *,
    needs: NeedsLike = (True, True, True),
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    output: ArrayLike | None = None,
    preactivation: ArrayLike | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> Gradients:
    """Gradients of the input, the weights and the bias of `fastconv.conv_transpose2d`, which share what they can.

    Parameters
    ----------
    x, weight : array_like
        Those of the forward call.
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    stride, padding, output_padding, groups, dilation, layout
        Those of the forward call, as for `fastconv.conv_transpose2d`.
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
    >>> x, weight = np.array([[[1.0, 10.0]]]), np.array([[[[1.0, 3.0]]]])
    >>> fastconv.grad.conv_transpose2d(x, weight, np.array([[[1.0, 2.0, 4.0]]]))
    (array([[[ 7., 14.]]]), array([[[[21., 42.]]]]), array([7.]))
    """
    op = "grad.conv_transpose2d"
    given = transpose_given(
        op, stride, padding, output_padding, groups, dilation, layout, precision, algorithm
    )
    return all_gradients(
        op, x, weight, grad_output, given, needs, activation, output, preactivation, backend
    )  # fmt: skip
