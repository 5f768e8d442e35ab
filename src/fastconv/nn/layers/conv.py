"""Layers that are one convolution. `several_conv.py` has those that are made of several."""

from __future__ import annotations

from typing import Any

from fastconv.arguments import integer, pair, single
from fastconv.nn.module import Module
from fastconv.nn.operations.conv import CONV1D, CONV2D, CONV_TRANSPOSE2D
from fastconv.nn.scope import SCOPE
from fastconv.problem.options import activation as read_activation
from fastconv.problem.options import padding as read_padding
from fastconv.problem.options import padding_fill
from fastconv.typing import ActivationLike, PaddingLike, PaddingMode, PairLike, SingleLike


class Conv2D(Module):
    """Convolution of images: `fastconv.conv2d`.

    Parameters
    ----------
    filters : int
        Channels of the output (PyTorch: `out_channels`); those of the input are those of the first one.
    kernel_size, stride, padding, dilation, groups
        As of `fastconv.conv2d`.
    bias : bool
    activation : str or tuple, optional
        As of `fastconv.conv2d`, applied to the output (as in Keras).
    padding_mode : {"zeros", "reflect", "replicate", "circular", "symmetric", "constant"}
    padding_value : float
        Of mode ``"constant"``.
    init : str or callable
        How weights begin, of `nn.initialisers`; biases are 0. (PyTorch's default is another: uniform, of both.)

    Attributes
    ----------
    weight : (filters, C_in // groups, kH, kW) ndarray, in either layout
    bias : (filters,) ndarray or None

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> layer = nn.Conv2D(8, 3, padding="same", activation="relu")
    >>> layer(np.ones((2, 3, 16, 16))).shape, layer.weight.shape
    ((2, 8, 16, 16), (8, 3, 3, 3))
    """

    shown = ("filters", "kernel_size", "stride", "padding", "dilation", "groups", "activation")

    def __init__(
        self,
        filters: int,
        kernel_size: PairLike,
        stride: PairLike = 1,
        padding: PaddingLike = 0,
        dilation: PairLike = 1,
        groups: int = 1,
        *,
        bias: bool = True,
        activation: ActivationLike | None = None,
        padding_mode: PaddingMode = "zeros",
        padding_value: float = 0.0,
        init: Any = "he",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        name = type(self).__name__
        self.filters = integer(name, "filters", filters, 1)
        self.kernel_size = pair(name, "kernel_size", kernel_size, 1)
        self.stride, self.dilation = pair(name, "stride", stride, 1), pair(name, "dilation", dilation, 1)
        read_padding(name, padding)
        self.padding = padding
        self.groups = integer(name, "groups", groups, 1)
        read_activation(name, activation)
        self.activation, self.init = activation, init
        self.padding_mode, self.padding_value = padding_fill(name, padding_mode, padding_value)
        if self.filters % self.groups:
            raise ValueError(f"{name}: groups is {groups}, but needs to divide the {filters} filters")
        self.declare("weight")
        self.declare("bias", bias)

    def forward(self, x: Any) -> Any:
        self._build(self.channels(x))
        return CONV2D(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            padding_mode=self.padding_mode,
            padding_value=self.padding_value,
            activation=self.activation,
            layout=SCOPE.layout,
        )

    def _build(self, channels: int) -> None:
        if channels % self.groups:
            raise ValueError(f"x has {channels} channels, but needs a multiple of the {self.groups} groups")
        shape = (self.filters, channels // self.groups, *self.kernel_size)
        self.check("weight", shape, f"x has {channels} channels")
        self.make("weight", shape, self.init)
        self.make("bias", (self.filters,), "zeros")

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (self.filters, None, *self.kernel_size) if name == "weight" else (self.filters,)


class DepthwiseConv2D(Module):
    """Convolution of each channel by itself: `fastconv.depthwise_conv2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation
        As of `fastconv.conv2d`.
    depth_multiplier : int
        Outputs of each channel, as in Keras; PyTorch: a `groups` of all channels.
    bias, activation, padding_mode, padding_value, init
        As of `Conv2D`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.DepthwiseConv2D(3, padding=1)(np.ones((1, 6, 8, 8))).shape
    (1, 6, 8, 8)
    """

    shown = ("kernel_size", "stride", "padding", "dilation", "depth_multiplier", "activation")

    def __init__(
        self,
        kernel_size: PairLike,
        stride: PairLike = 1,
        padding: PaddingLike = 0,
        dilation: PairLike = 1,
        *,
        depth_multiplier: int = 1,
        bias: bool = True,
        activation: ActivationLike | None = None,
        padding_mode: PaddingMode = "zeros",
        padding_value: float = 0.0,
        init: Any = "he",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        name = type(self).__name__
        self.kernel_size = pair(name, "kernel_size", kernel_size, 1)
        self.stride, self.dilation = pair(name, "stride", stride, 1), pair(name, "dilation", dilation, 1)
        read_padding(name, padding)
        self.padding = padding
        self.depth_multiplier = integer(name, "depth_multiplier", depth_multiplier, 1)
        read_activation(name, activation)
        self.activation, self.init = activation, init
        self.padding_mode, self.padding_value = padding_fill(name, padding_mode, padding_value)
        self.declare("weight")
        self.declare("bias", bias)

    def forward(self, x: Any) -> Any:
        channels = self.channels(x)
        filters = channels * self.depth_multiplier
        self.check("weight", (filters, 1, *self.kernel_size), f"x has {channels} channels")
        self.make("weight", (filters, 1, *self.kernel_size), self.init)
        self.make("bias", (filters,), "zeros")
        return CONV2D(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=channels,
            padding_mode=self.padding_mode,
            padding_value=self.padding_value,
            activation=self.activation,
            layout=SCOPE.layout,
        )

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (None, 1, *self.kernel_size) if name == "weight" else (None,)


class ConvTranspose2D(Module):
    """Transposed convolution: `fastconv.conv_transpose2d`.

    Parameters
    ----------
    filters, kernel_size, stride, padding, dilation, groups
        As of `Conv2D`; `padding` is that of the convolution whose transpose this is.
    output_padding : int or pair of int
        Rows and columns more at the end.
    bias, activation, init
        As of `Conv2D`.

    Attributes
    ----------
    weight : (C_in, filters // groups, kH, kW) ndarray, in either layout

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.ConvTranspose2D(4, 2, stride=2)(np.ones((1, 8, 5, 5))).shape
    (1, 4, 10, 10)
    """

    shown = ("filters", "kernel_size", "stride", "padding", "dilation", "groups", "activation")

    def __init__(
        self,
        filters: int,
        kernel_size: PairLike,
        stride: PairLike = 1,
        padding: PaddingLike = 0,
        dilation: PairLike = 1,
        groups: int = 1,
        *,
        output_padding: PairLike = 0,
        bias: bool = True,
        activation: ActivationLike | None = None,
        init: Any = "he",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        name = type(self).__name__
        self.filters = integer(name, "filters", filters, 1)
        self.kernel_size = pair(name, "kernel_size", kernel_size, 1)
        self.stride, self.dilation = pair(name, "stride", stride, 1), pair(name, "dilation", dilation, 1)
        read_padding(name, padding)
        self.padding = padding
        self.groups = integer(name, "groups", groups, 1)
        self.output_padding = pair(name, "output_padding", output_padding, 0)
        read_activation(name, activation)
        self.activation, self.init = activation, init
        if self.filters % self.groups:
            raise ValueError(f"{name}: groups is {groups}, but needs to divide the {filters} filters")
        self.declare("weight")
        self.declare("bias", bias)

    def forward(self, x: Any) -> Any:
        channels = self.channels(x)
        shape = (channels, self.filters // self.groups, *self.kernel_size)
        self.check("weight", shape, f"x has {channels} channels")
        self.make("weight", shape, self.init)
        self.make("bias", (self.filters,), "zeros")
        return CONV_TRANSPOSE2D(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
            activation=self.activation,
            layout=SCOPE.layout,
        )

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (None, self.filters // self.groups, *self.kernel_size) if name == "weight" else (self.filters,)


class Conv1D(Module):
    """Convolution of signals: `fastconv.conv1d`.

    Parameters
    ----------
    filters, kernel_size, stride, padding, dilation, groups
        As of `fastconv.conv1d`; besides, ``padding="causal"`` puts all of "same" before the signal, so that no output
        sees what comes after it (as in Keras).
    bias, activation, init
        As of `Conv2D`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.Conv1D(4, 3, padding="causal", dilation=2)(np.ones((2, 1, 50))).shape
    (2, 4, 50)
    """

    shown = ("filters", "kernel_size", "stride", "padding", "dilation", "groups", "activation")

    def __init__(
        self,
        filters: int,
        kernel_size: SingleLike,
        stride: SingleLike = 1,
        padding: Any = 0,
        dilation: SingleLike = 1,
        groups: int = 1,
        *,
        bias: bool = True,
        activation: ActivationLike | None = None,
        padding_mode: PaddingMode = "zeros",
        padding_value: float = 0.0,
        init: Any = "he",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        name = type(self).__name__
        self.filters = integer(name, "filters", filters, 1)
        self.kernel_size = single(name, "kernel_size", kernel_size, 1)
        self.stride, self.dilation = single(name, "stride", stride, 1), single(name, "dilation", dilation, 1)
        self.padding = padding
        self.groups = integer(name, "groups", groups, 1)
        read_activation(name, activation)
        self.activation, self.init = activation, init
        self.padding_mode, self.padding_value = padding_fill(name, padding_mode, padding_value)
        if self.filters % self.groups:
            raise ValueError(f"{name}: groups is {groups}, but needs to divide the {filters} filters")
        self.declare("weight")
        self.declare("bias", bias)

    def forward(self, x: Any) -> Any:
        channels = self.channels(x, spatial=1)
        if channels % self.groups:
            raise ValueError(f"x has {channels} channels, but needs a multiple of the {self.groups} groups")
        shape = (self.filters, channels // self.groups, self.kernel_size)
        self.check("weight", shape, f"x has {channels} channels")
        self.make("weight", shape, self.init)
        self.make("bias", (self.filters,), "zeros")
        before = self.dilation * (self.kernel_size - 1)
        return CONV1D(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=((before, 0),) if self.padding == "causal" else self.padding,
            dilation=self.dilation,
            groups=self.groups,
            padding_mode=self.padding_mode,
            padding_value=self.padding_value,
            activation=self.activation,
            layout=SCOPE.layout,
        )

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (self.filters, None, self.kernel_size) if name == "weight" else (self.filters,)
