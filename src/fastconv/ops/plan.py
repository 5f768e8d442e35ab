"""Convolutions whose weights are prepared once: the plans and the functions that make them."""

from __future__ import annotations

from typing import Any, SupportsFloat, SupportsIndex

from fastconv.execution.convolution import read_planned
from fastconv.ops.plan_base import Plan
from fastconv.problem.convolution import ConvOptions
from fastconv.typing import (
    ActivationLike,
    ArrayLike,
    BackendName,
    Layout,
    PaddingLike,
    PaddingMode,
    PairLike,
    Precision,
    ShapeLike,
)

__all__ = [
    "Conv2dPlan",
    "ConvTranspose2dPlan",
    "DepthwiseConv2dPlan",
    "plan_conv2d",
    "plan_conv_transpose2d",
    "plan_depthwise_conv2d",
]


# Their pickles name them as users do, not by this file.
class Conv2dPlan(Plan):
    """What `plan_conv2d` makes: ``plan(x, out=None, *, residual=None)`` is `conv2d` with prepared weights."""

    __module__ = "fastconv"

    def _made(self, arguments: dict[str, Any]) -> Plan:
        return plan_conv2d(**arguments)


class DepthwiseConv2dPlan(Plan):
    """What `plan_depthwise_conv2d` makes: `depthwise_conv2d` with prepared weights."""

    __module__ = "fastconv"

    def _made(self, arguments: dict[str, Any]) -> Plan:
        return plan_depthwise_conv2d(**arguments)


class ConvTranspose2dPlan(Plan):
    """What `plan_conv_transpose2d` makes: `conv_transpose2d` with prepared weights."""

    __module__ = "fastconv"

    def _made(self, arguments: dict[str, Any]) -> Plan:
        return plan_conv_transpose2d(**arguments)


def plan_conv2d(
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    groups: SupportsIndex = 1,
    *,
    input_shape: ShapeLike | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: SupportsFloat = 0.0,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
    tune: bool = False,
) -> Conv2dPlan:
    """Prepare the weights of a convolution that is used more than once.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, padding_mode, padding_value, layout, activation, precision, \
    algorithm, backend
        As for `conv2d`. The plan keeps copies of `weight` and `bias`, and the backend chosen now.
    input_shape : tuple of int, optional
        Shape of the `x` to come: weights are prepared for it at once, and `explain` describes it.
    tune : bool
        Take the kernel that was measured to be the fastest, instead of the one of the least predicted cost. What
        `fastconv.tuning` does not hold yet is measured once, for up to half a second for each new shape of `x` (that of
        `input_shape` at once), and remembered on disk. Kernels round differently: results then depend on the tuning
        file, and on nothing else. An error with the ``numba`` and ``numpy`` backends, which have one algorithm each.

    Returns
    -------
    Conv2dPlan
        ``plan(x, out=None, *, residual=None)`` gives what `conv2d` gives, for any batch and image size.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> plan = fastconv.plan_conv2d(np.ones((8, 3, 3, 3), np.float32), padding="same", activation="relu")
    >>> plan(np.ones((1, 3, 5, 5), np.float32)).shape
    (1, 8, 5, 5)
    """
    options = ConvOptions.read(
        "plan_conv2d", stride, padding, dilation, groups,
        padding_mode=padding_mode, padding_value=padding_value, layout=layout,
        activation=activation, precision=precision, algorithm=algorithm,
    )  # fmt: skip
    return Conv2dPlan(options, *read_planned(options, weight, bias, backend), input_shape, tune)


def plan_depthwise_conv2d(
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    *,
    input_shape: ShapeLike | None = None,
    padding_mode: PaddingMode = "zeros",
    padding_value: SupportsFloat = 0.0,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
    tune: bool = False,
) -> DepthwiseConv2dPlan:
    """Prepare the weights of a depthwise convolution that is used more than once.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, padding_mode, padding_value, layout, activation, precision, \
    algorithm, backend
        As for `depthwise_conv2d`.
    input_shape : tuple of int, optional
        As for `plan_conv2d`.
    tune : bool
        As for `plan_conv2d`.

    Returns
    -------
    DepthwiseConv2dPlan

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> plan = fastconv.plan_depthwise_conv2d(np.ones((3, 1, 3, 3), np.float32))
    >>> plan(np.ones((3, 5, 5), np.float32)).shape
    (3, 3, 3)
    """
    options = ConvOptions.read(
        "plan_depthwise_conv2d", stride, padding, dilation, None,
        padding_mode=padding_mode, padding_value=padding_value, layout=layout,
        activation=activation, precision=precision, algorithm=algorithm,
        depthwise=True,
    )  # fmt: skip
    return DepthwiseConv2dPlan(options, *read_planned(options, weight, bias, backend), input_shape, tune)


def plan_conv_transpose2d(
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    output_padding: PairLike = 0,
    groups: SupportsIndex = 1,
    dilation: PairLike = 1,
    *,
    input_shape: ShapeLike | None = None,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
    tune: bool = False,
) -> ConvTranspose2dPlan:
    """Prepare the weights of a transposed convolution that is used more than once.

    Parameters
    ----------
    weight, bias, stride, padding, output_padding, groups, dilation, layout, activation, precision, algorithm, backend
        As for `conv_transpose2d`.
    input_shape : tuple of int, optional
        As for `plan_conv2d`.
    tune : bool
        As for `plan_conv2d`.

    Returns
    -------
    ConvTranspose2dPlan

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> plan = fastconv.plan_conv_transpose2d(np.ones((3, 2, 2, 2), np.float32), stride=2)
    >>> plan(np.ones((3, 5, 5), np.float32)).shape
    (2, 10, 10)
    """
    options = ConvOptions.read(
        "plan_conv_transpose2d", stride, padding, dilation, groups, output_padding=output_padding,
        layout=layout, activation=activation, precision=precision, algorithm=algorithm,
    )  # fmt: skip
    return ConvTranspose2dPlan(options, *read_planned(options, weight, bias, backend), input_shape, tune)
