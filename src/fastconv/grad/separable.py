"""Gradients of separable convolution: through the 1x1 convolution, then through the depthwise one."""

from __future__ import annotations

from typing import SupportsFloat

import numpy as np

from fastconv.backends import resolve
from fastconv.execution.arrays import as_array
from fastconv.execution.convolution import ConvCall
from fastconv.grad.convolution_case import GradientCall, Operand, find_gradients
from fastconv.grad.elementwise import read_slope
from fastconv.grad.operands import check_grad, read_needs
from fastconv.ops.conv import read_separable
from fastconv.problem.case import find_case
from fastconv.problem.convolution import ConvOptions
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.settings.precision import get_precision
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
)

__all__ = ["separable_conv2d"]

_OPERANDS = ("x", "depthwise_weight", "pointwise_weight", "bias")


def separable_conv2d(
    x: ArrayLike,
    depthwise_weight: ArrayLike,
    pointwise_weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    *,
    needs: NeedsLike = (True, True, True, True),
    padding_mode: PaddingMode = "zeros",
    padding_value: SupportsFloat = 0.0,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    output: ArrayLike | None = None,
    preactivation: ArrayLike | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> tuple[Array | None, Array | None, Array | None, Array | None]:
    """Gradients of all operands of `fastconv.separable_conv2d`, whose depthwise convolution is computed again.

    Parameters
    ----------
    x, depthwise_weight, pointwise_weight : array_like
        Those of the forward call.
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    stride, padding, dilation, padding_mode, padding_value, layout
        Those of the forward call.
    needs : sequence of 4 bool
        Which gradients to compute: of `x`, of both weights, of the bias.
    activation, output, preactivation, precision, backend
        As for `conv2d`.
    algorithm : str, optional
        Of the gradient of `x`.

    Returns
    -------
    grad_x, grad_depthwise_weight, grad_pointwise_weight, grad_bias : ndarray or None
        None where not needed. The dtype of all is that of the arrays promoted together.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d_input`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x, depthwise, pointwise = np.ones((2, 3, 3)), np.ones((2, 1, 3, 3)), np.array([[[[1.0]], [[3.0]]]])
    >>> gradients = fastconv.grad.separable_conv2d(x, depthwise, pointwise, np.ones((1, 1, 1)))
    >>> gradients[0][:, 0, 0], gradients[2].ravel()
    (array([1., 3.]), array([9., 9.]))
    """
    op = "grad.separable_conv2d"
    of_x, of_depthwise, of_pointwise, of_bias = read_needs(op, needs, _OPERANDS)
    engine = resolve(op, backend)
    image, grad = as_array(op, "x", x), as_array(op, "grad_output", grad_output)
    again, first = (
        ConvOptions.read(
            op, stride, padding, dilation, None, padding_mode, padding_value, layout, None, precision, name,
            weight_name="depthwise_weight", depthwise=True,
        )
        for name in (None, algorithm)
    )  # fmt: skip
    second = ConvOptions.read(
        op, 1, 0, 1, 1, "zeros", 0.0, layout, None, precision, weight_name="pointwise_weight"
    )
    depthwise, pointwise = read_separable(op, depthwise_weight, pointwise_weight, layout)
    slope = read_slope(op, activation, output, preactivation, grad.shape)
    arrays = (image, depthwise, pointwise, grad, *(() if slope is None else (slope.value,)))
    dtype = float_result(*(a.dtype for a in arrays))
    compute, accuracy = compute_dtype(dtype), precision or get_precision()
    forward = find_case(again, accuracy, image.shape, compute, depthwise.shape, compute)
    between = forward.shape if forward.batched else forward.shape[1:]
    result = find_case(second, accuracy, between, compute, pointwise.shape, compute)
    expected = result.shape if result.batched else result.shape[1:]
    check_grad(op, grad.shape, expected, "x", image.shape)
    across = find_gradients(second, accuracy, between, pointwise.shape, grad.shape, compute)
    spatial = find_gradients(first, accuracy, image.shape, depthwise.shape, between, dtype)
    last = GradientCall(second, engine, across, (of_x or of_depthwise, of_pointwise, of_bias))
    rest = GradientCall(first, engine, spatial, (of_x, of_depthwise, False))
    middle: Operand = between
    if of_pointwise:
        middle = ConvCall(again, engine, forward, None, None, None).run(image, depthwise)
    grad_middle, grad_pointwise, grad_bias = last.run(middle, pointwise, grad, slope)
    grad_x = grad_depthwise = None
    if grad_middle is not None:
        grad_x, grad_depthwise, _ = rest.run(image, depthwise, grad_middle)
    grad_pointwise, grad_bias = (
        None if g is None else np.asarray(g, dtype) for g in (grad_pointwise, grad_bias)
    )
    return grad_x, grad_depthwise, grad_pointwise, grad_bias
