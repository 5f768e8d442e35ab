"""Gradients of convolutions with one spatial axis: those of an image with one row."""

from __future__ import annotations

from typing import SupportsFloat, SupportsIndex

from fastconv import arguments
from fastconv.execution.one_dimensional import (
    expand,
    expand_weight,
    options_1d,
    squeeze,
    squeeze_weight,
)
from fastconv.grad.convolution_case import Gradients, gradients
from fastconv.grad.operands import Shape, check_grad, read_needs
from fastconv.problem.case import find_case
from fastconv.problem.convolution import ConvOptions
from fastconv.problem.layout import check_layout, spatial_axes
from fastconv.settings.precision import get_precision
from fastconv.typing import (
    ActivationLike,
    ArrayLike,
    BackendName,
    Layout,
    NeedsLike,
    PaddingMode,
    Precision,
    SignalPaddingLike,
    SingleLike,
)

__all__ = ["conv1d", "conv_transpose1d"]


def conv1d(
    x: ArrayLike,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: SingleLike = 1,
    padding: SignalPaddingLike = 0,
    dilation: SingleLike = 1,
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
    """Gradients of the input, the weights and the bias of `fastconv.conv1d`.

    Parameters
    ----------
    x, weight : array_like
        Those of the forward call.
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    stride, padding, dilation, groups, padding_mode, padding_value, layout
        Those of the forward call, as for `fastconv.conv1d`.
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
    >>> x, weight = np.array([[1.0, 2.0, 4.0]]), np.array([[[-1.0, 1.0]]])
    >>> fastconv.grad.conv1d(x, weight, np.array([[1.0, 1.0]]))
    (array([[-1.,  0.,  1.]]), array([[[3., 6.]]]), array([2.]))
    """
    op = "grad.conv1d"
    check_layout(op, layout)
    options = ConvOptions.read(
        op, *options_1d(op, stride, padding, dilation), groups, padding_mode, padding_value, layout, None, precision,
        algorithm,
    )  # fmt: skip
    return _of_signals(
        options, x, weight, grad_output, needs, layout, activation, output, preactivation, backend
    )  # fmt: skip


def conv_transpose1d(
    x: ArrayLike,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: SingleLike = 1,
    padding: SignalPaddingLike = 0,
    output_padding: SingleLike = 0,
    groups: SupportsIndex = 1,
    dilation: SingleLike = 1,
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
    """Gradients of the input, the weights and the bias of `fastconv.conv_transpose1d`.

    Parameters
    ----------
    x, weight : array_like
        Those of the forward call.
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    stride, padding, output_padding, groups, dilation, layout
        Those of the forward call, as for `fastconv.conv_transpose1d`.
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
    >>> x, weight = np.array([[1.0, 10.0]]), np.array([[[1.0, 3.0]]])
    >>> fastconv.grad.conv_transpose1d(x, weight, np.array([[1.0, 2.0, 4.0]]))
    (array([[ 7., 14.]]), array([[[21., 42.]]]), array([7.]))
    """
    op = "grad.conv_transpose1d"
    check_layout(op, layout)
    extra = (0, arguments.single(op, "output_padding", output_padding, 0))
    options = ConvOptions.read(
        op, *options_1d(op, stride, padding, dilation), groups, "zeros", 0.0, layout, None, precision, algorithm, extra
    )  # fmt: skip
    return _of_signals(
        options, x, weight, grad_output, needs, layout, activation, output, preactivation, backend
    )  # fmt: skip


def _of_signals(
    o: ConvOptions,
    x: ArrayLike,
    weight: ArrayLike,
    grad_output: ArrayLike,
    needs: NeedsLike,
    layout: Layout,
    activation: ActivationLike | None,
    output: ArrayLike | None,
    preactivation: ArrayLike | None,
    backend: BackendName | None,
) -> Gradients:
    op = o.op
    kernel = expand_weight(o, weight, x)
    image = expand(op, "x", x, layout)
    grad = expand(op, "grad_output", grad_output, layout)
    forward = find_case(
        o, o.precision or get_precision(), image.shape, image.dtype, kernel.shape, kernel.dtype
    )
    expected = forward.shape if forward.batched else forward.shape[1:]
    got, wanted, signal = (_signal(shape, layout) for shape in (grad.shape, expected, image.shape))
    check_grad(op, got, wanted, "x", signal)
    grad_x, grad_weight, grad_bias = gradients(
        o, image, kernel, grad, read_needs(op, needs), activation=activation,
        output=expand(op, "output", output, layout),
        preactivation=expand(op, "preactivation", preactivation, layout), backend=backend,
    )  # fmt: skip
    return (
        None if grad_x is None else squeeze(grad_x, layout, None),
        None if grad_weight is None else squeeze_weight(grad_weight, layout),
        grad_bias,
    )


def _signal(shape: Shape, layout: Layout) -> Shape:
    """The shape that the user knows: without the one row."""
    axis = len(shape) + spatial_axes(layout)[0]
    return shape[:axis] + shape[axis + 1 :]
