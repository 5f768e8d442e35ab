"""Convolution as users call it: full, depthwise, separable, and with one spatial axis."""

from __future__ import annotations

from typing import SupportsFloat, SupportsIndex

from fastconv.backends import resolve
from fastconv.execution.arrays import as_array
from fastconv.execution.convolution import ConvCall, convolve, execute, read_weight
from fastconv.execution.one_dimensional import expand, expand_out, expand_weight, options_1d, squeeze
from fastconv.problem.case import find_case
from fastconv.problem.convolution import ConvOptions
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import check_layout, weight_sizes
from fastconv.settings.precision import get_precision
from fastconv.typing import (
    ActivationLike,
    Array,
    ArrayLike,
    BackendName,
    Layout,
    PaddingLike,
    PaddingMode,
    PairLike,
    Precision,
    SignalPaddingLike,
    SingleLike,
)

__all__ = ["conv1d", "conv2d", "depthwise_conv2d", "separable_conv2d"]


def conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    groups: SupportsIndex = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: SupportsFloat = 0.0,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> Array:
    """2-D convolution (cross-correlation, as in every neural network library).

    ``y[n, k, i, j] = bias[k] + sum over c, r, s of
    x[n, c, i * stride + r * dilation - padding, j * stride + s * dilation - padding] * weight[k, c, r, s]``

    Parameters
    ----------
    x : array_like
        ``(N, C_in, H, W)``, or ``(N, H, W, C_in)`` with ``layout="NHWC"``; one image without `N` gives one result.
    weight : array_like
        ``(C_out, C_in // groups, kH, kW)``; with ``layout="NHWC"`` ``(kH, kW, C_in // groups, C_out)``. All numbers
        are to be finite: which outputs an infinity or NaN here reaches depends on backend, algorithm and shapes.
    bias : array_like, optional
        ``(C_out,)``.
    stride, dilation : int or pair (vertical, horizontal)
        Distance, in pixels, of neighbouring windows, and of the pixels within a window.
    padding : int, pair, ((top, bottom), (left, right)), "valid", "same" or "full"
        Pixels around the image. ``"same"`` gives ``ceil(size / stride)`` pixels, the odd pixel of padding at the
        bottom and right; ``"full"`` every window that touches the image.
    groups : int
        Channels are split into so many groups that do not see each other.
    padding_mode : {"zeros", "reflect", "replicate", "circular", "symmetric", "constant"}
        What the padding holds: zeros, pixels as `pad2d` says, or `padding_value`.
    padding_value : float
        What mode ``"constant"`` pads with, rounded as the sums' dtype does; other modes take none.
    layout : {"NCHW", "NHWC"}
    activation : str or tuple, optional
        Applied to the finished output: ``"relu"``, ``"relu6"``, ``"leaky_relu"``, ``"sigmoid"``, ``"tanh"``,
        ``"silu"``, ``"hardswish"``, ``"gelu"``, ``("leaky_relu", slope)`` or ``("clip", low, high)``.
    residual : array_like, optional
        Of the output's shape, added before the activation.
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    precision : {"fast", "strict"}, optional
        See `fastconv.set_precision`.
    algorithm : str, optional
        One of `fastconv.algorithms()`; None chooses.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        ``(N, C_out, oH, oW)`` or ``(N, oH, oW, C_out)``, with
        ``oH = (H + top + bottom - dilation * (kH - 1) - 1) // stride + 1``. The dtype is that of `x` and `weight`
        promoted together, integers with float32 as well; float16 and bfloat16 are computed in float32.

    Raises
    ------
    ValueError
        If shapes, ranges or options do not fit; the message names the argument, what it got and what it needs.
    TypeError
        If an argument is of the wrong kind, such as a complex array.

    See Also
    --------
    plan_conv2d : prepares the weights once, for many calls.

    References
    ----------
    V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    >>> box = np.ones((1, 1, 3, 3), np.float32)
    >>> fastconv.conv2d(x, box)
    array([[[45., 54.],
            [81., 90.]]], dtype=float32)
    >>> fastconv.conv2d(x, box, stride=2, padding="same").shape
    (1, 2, 2)
    >>> fastconv.conv2d(x[:, :1, :2], box, padding=1, padding_mode="constant", padding_value=100)
    array([[[701., 701.]]], dtype=float32)
    """
    given = (
        stride,
        padding,
        dilation,
        groups,
        padding_mode,
        padding_value,
        layout,
        activation,
        precision,
        algorithm,
    )
    return convolve("conv2d", x, weight, bias, residual, out, backend, given)


def depthwise_conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: SupportsFloat = 0.0,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Convolve every channel by itself: `conv2d` with one group for each input channel.

    Parameters
    ----------
    x : array_like
        ``(N, C, H, W)``, or ``(N, H, W, C)`` with ``layout="NHWC"``.
    weight : array_like
        ``(C * M, 1, kH, kW)``; with ``layout="NHWC"`` ``(kH, kW, 1, C * M)``: `M` filters for each channel, and
        output channel ``c * M + m`` is filter `m` of channel `c`.
    bias, stride, padding, dilation, padding_mode, padding_value, layout, activation, residual, out, precision, \
    algorithm, backend
        As for `conv2d`.

    Returns
    -------
    ndarray
        ``(N, C * M, oH, oW)`` or ``(N, oH, oW, C * M)``.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.ones((2, 3, 3), np.float32)
    >>> weight = np.stack([np.ones((1, 3, 3)), np.full((1, 3, 3), 2)]).astype(np.float32)
    >>> fastconv.depthwise_conv2d(x, weight).ravel()
    array([ 9., 18.], dtype=float32)
    """
    given = (
        stride,
        padding,
        dilation,
        None,
        padding_mode,
        padding_value,
        layout,
        activation,
        precision,
        algorithm,
    )
    return convolve("depthwise_conv2d", x, weight, bias, residual, out, backend, given, depthwise=True)


def separable_conv2d(
    x: ArrayLike,
    depthwise_weight: ArrayLike,
    pointwise_weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: SupportsFloat = 0.0,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Depthwise, then 1x1 convolution: a full convolution's pattern at a fraction of its cost.

    Parameters
    ----------
    x : array_like
        ``(N, C, H, W)``, or ``(N, H, W, C)`` with ``layout="NHWC"``.
    depthwise_weight : array_like
        ``(C * M, 1, kH, kW)``; with ``layout="NHWC"`` ``(kH, kW, 1, C * M)``.
    pointwise_weight : array_like
        ``(C_out, C * M, 1, 1)``; with ``layout="NHWC"`` ``(1, 1, C * M, C_out)``.
    bias, activation, residual, out
        As for `conv2d`; they belong to the 1x1 convolution.
    stride, padding, dilation, padding_mode, padding_value
        As for `conv2d`; they belong to the depthwise convolution.
    layout, precision, algorithm, backend
        As for `conv2d`; `algorithm` is that of the depthwise convolution.

    Returns
    -------
    ndarray
        ``(N, C_out, oH, oW)`` or ``(N, oH, oW, C_out)``.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    References
    ----------
    F. Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", arXiv:1610.02357.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.ones((2, 3, 3), np.float32)
    >>> fastconv.separable_conv2d(x, np.ones((2, 1, 3, 3), np.float32), np.ones((1, 2, 1, 1), np.float32))
    array([[[18.]]], dtype=float32)
    """
    op = "separable_conv2d"
    engine = resolve(op, backend)
    array = as_array(op, "x", x)
    first = ConvOptions.read(
        op, stride, padding, dilation, None,
        padding_mode=padding_mode, padding_value=padding_value, layout=layout,
        precision=precision, algorithm=algorithm, depthwise=True,
    )  # fmt: skip
    second = ConvOptions.read(op, 1, 0, 1, 1, layout=layout, activation=activation, precision=precision)
    depthwise, pointwise = read_separable(op, depthwise_weight, pointwise_weight, layout)
    accuracy = precision or get_precision()
    dtype = float_result(array.dtype, depthwise.dtype, pointwise.dtype)
    spatial = find_case(first, accuracy, array.shape, compute_dtype(dtype), depthwise.shape, depthwise.dtype)
    between = spatial.shape if spatial.batched else spatial.shape[1:]
    across = find_case(second, accuracy, between, dtype, pointwise.shape, pointwise.dtype)
    last = ConvCall(second, engine, across, bias, residual, out, array, depthwise, pointwise)
    middle = ConvCall(first, engine, spatial, None, None, None).run(array, depthwise)
    return last.run(middle, pointwise)


def read_separable(
    op: str, depthwise_weight: ArrayLike, pointwise_weight: ArrayLike, layout: Layout
) -> tuple[Array, Array]:
    """Both weights, which fit each other; `layout` has been checked."""
    depthwise = read_weight(op, "depthwise_weight", depthwise_weight)
    pointwise = read_weight(op, "pointwise_weight", pointwise_weight)
    filters = weight_sizes(depthwise.shape, layout)[0]
    _, inner, kernel = weight_sizes(pointwise.shape, layout)
    if kernel != (1, 1):
        raise ValueError(f"{op}: pointwise_weight has a kernel of {kernel[0]}x{kernel[1]}, but needs 1x1")
    if inner != filters:
        raise ValueError(
            f"{op}: pointwise_weight has {inner} input channels, but depthwise_weight has {filters} output channels"
        )
    return depthwise, pointwise


def conv1d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: SingleLike = 1,
    padding: SignalPaddingLike = 0,
    dilation: SingleLike = 1,
    groups: SupportsIndex = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: SupportsFloat = 0.0,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> Array:
    """1-D convolution: `conv2d` of an image with one row.

    Parameters
    ----------
    x : array_like
        ``(N, C_in, L)``, or ``(N, L, C_in)`` with ``layout="NHWC"`` (channels last); or one signal without `N`.
    weight : array_like
        ``(C_out, C_in // groups, k)``; channels last ``(k, C_in // groups, C_out)``.
    padding : int, (before, after), "valid", "same" or "full"
    bias, stride, dilation, groups, padding_mode, padding_value, layout, activation, residual, out, precision, \
    algorithm, backend
        As for `conv2d`, with one spatial axis.

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
    >>> fastconv.conv1d(np.array([[1.0, 2.0, 4.0, 7.0]]), np.array([[[-1.0, 1.0]]]))
    array([[1., 2., 3.]])
    """
    op = "conv1d"
    check_layout(op, layout)
    options = ConvOptions.read(
        op, *options_1d(op, stride, padding, dilation), groups,
        padding_mode=padding_mode, padding_value=padding_value, layout=layout,
        activation=activation, precision=precision, algorithm=algorithm,
    )  # fmt: skip
    kernel = expand_weight(options, weight, x)
    image = expand(op, "x", x, layout)
    result = execute(
        options, resolve(op, backend), image, kernel, bias,
        expand(op, "residual", residual, layout), expand_out(op, out, layout),
    )  # fmt: skip
    return squeeze(result, layout, out)
