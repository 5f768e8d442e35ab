"""Transposed convolution as users call it: the input gradient of convolution, for upsampling."""

from __future__ import annotations

from typing import SupportsIndex

from fastconv import arguments
from fastconv.backends import resolve
from fastconv.execution.convolution import convolve, execute
from fastconv.execution.one_dimensional import expand, expand_out, expand_weight, options_1d, squeeze
from fastconv.problem.convolution import ConvOptions
from fastconv.problem.layout import check_layout
from fastconv.typing import (
    ActivationLike,
    Array,
    ArrayLike,
    BackendName,
    Layout,
    PaddingLike,
    PairLike,
    Precision,
    SignalPaddingLike,
    SingleLike,
)

__all__ = ["conv_transpose1d", "conv_transpose2d"]


def conv_transpose2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    output_padding: PairLike = 0,
    groups: SupportsIndex = 1,
    dilation: PairLike = 1,
    *,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> Array:
    """2-D transposed convolution: every pixel of `x` adds a scaled copy of the kernel to the output.

    It is the gradient of `conv2d` with respect to its input, not its inverse.

    Parameters
    ----------
    x : array_like
        ``(N, C_in, H, W)``, or ``(N, H, W, C_in)`` with ``layout="NHWC"``; or one image without `N`.
    weight : array_like
        ``(C_in, C_out // groups, kH, kW)``; with ``layout="NHWC"`` ``(kH, kW, C_out // groups, C_in)``. All numbers
        are to be finite, as for `conv2d`.
    bias : array_like, optional
        ``(C_out,)``.
    stride, dilation : int or pair (vertical, horizontal)
        Distance of neighbouring copies of the kernel, and of the kernel's elements, in output pixels.
    padding : int, pair, ((top, bottom), (left, right)), "valid", "same" or "full"
        Pixels removed from every side of the output. ``"same"`` gives ``size * stride`` pixels.
    output_padding : int or pair
        Pixels added at the bottom and right; smaller than the stride or the dilation.
    groups, layout, activation, residual, out, precision, algorithm, backend
        As for `conv2d`.

    Returns
    -------
    ndarray
        ``(N, C_out, oH, oW)`` or ``(N, oH, oW, C_out)``, with
        ``oH = (H - 1) * stride - top - bottom + dilation * (kH - 1) + 1 + output_padding``.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    References
    ----------
    V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, chapter 4.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[1, 2]]], np.float32)
    >>> fastconv.conv_transpose2d(x, np.array([[[[1, 10, 100]]]], np.float32), stride=(1, 2))
    array([[[  1.,  10., 102.,  20., 200.]]], dtype=float32)
    """
    if output_padding is None:
        raise TypeError("conv_transpose2d: output_padding is None, but needs an integer or a pair")
    given = (
        stride, padding, dilation, groups, "zeros", 0.0, layout, activation, precision, algorithm, output_padding,
    )  # fmt: skip
    return convolve("conv_transpose2d", x, weight, bias, residual, out, backend, given)


def conv_transpose1d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: SingleLike = 1,
    padding: SignalPaddingLike = 0,
    output_padding: SingleLike = 0,
    groups: SupportsIndex = 1,
    dilation: SingleLike = 1,
    *,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> Array:
    """1-D transposed convolution: `conv_transpose2d` of an image with one row.

    Parameters
    ----------
    x : array_like
        ``(N, C_in, L)``, or ``(N, L, C_in)`` with ``layout="NHWC"`` (channels last); or one signal without `N`.
    weight : array_like
        ``(C_in, C_out // groups, k)``; channels last ``(k, C_out // groups, C_in)``.
    padding : int, (before, after), "valid", "same" or "full"
    bias, stride, output_padding, groups, dilation, layout, activation, residual, out, precision, algorithm, backend
        As for `conv_transpose2d`, with one spatial axis.

    Returns
    -------
    ndarray
        ``(N, C_out, oL)`` or ``(N, oL, C_out)``.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.conv_transpose1d(np.array([[1.0, 2.0]]), np.array([[[1.0, 1.0, 1.0]]]), stride=2)
    array([[1., 1., 3., 2., 2.]])
    """
    op = "conv_transpose1d"
    check_layout(op, layout)
    extra = (0, arguments.single(op, "output_padding", output_padding, 0))
    options = ConvOptions.read(
        op, *options_1d(op, stride, padding, dilation), groups, output_padding=extra,
        layout=layout, activation=activation, precision=precision, algorithm=algorithm,
    )  # fmt: skip
    kernel = expand_weight(options, weight, x)
    image = expand(op, "x", x, layout)
    result = execute(
        options, resolve(op, backend), image, kernel, bias,
        expand(op, "residual", residual, layout), expand_out(op, out, layout),
    )  # fmt: skip
    return squeeze(result, layout, out)
