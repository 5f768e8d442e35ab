"""Layers that convolve."""

from __future__ import annotations

from typing import Any

from fastconv.arguments import integer, pair, single
from fastconv.nn import functional as F
from fastconv.nn.module import Module
from fastconv.nn.operations.conv import CONV1D, CONV2D, CONV_TRANSPOSE2D, DEFORM_CONV2D
from fastconv.nn.operations.images import RESIZE2D
from fastconv.nn.operations.pool import AVG_POOL2D
from fastconv.nn.scope import SCOPE
from fastconv.problem.options import activation as read_activation
from fastconv.problem.options import padding as read_padding
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
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
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
        self.activation, self.padding_mode, self.init = activation, padding_mode, init
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
    bias, activation, padding_mode, init
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
        self.activation, self.padding_mode, self.init = activation, padding_mode, init
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
            activation=self.activation,
            layout=SCOPE.layout,
        )

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (None, 1, *self.kernel_size) if name == "weight" else (None,)


class SeparableConv2D(Module):
    """A depthwise convolution and one of single pixels: `fastconv.separable_conv2d`.

    Parameters
    ----------
    filters, kernel_size, stride, padding, dilation
        As of `Conv2D`; stride, padding and dilation are those of the depthwise one.
    depth_multiplier : int
    bias : bool
        Of the second, as in Keras.
    activation, padding_mode, init
        As of `Conv2D`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> layer = nn.SeparableConv2D(8, 3)
    >>> layer(np.ones((1, 4, 8, 8))).shape, layer.depthwise.weight.shape, layer.pointwise.weight.shape
    ((1, 8, 6, 6), (4, 1, 3, 3), (8, 4, 1, 1))
    """

    def __init__(
        self,
        filters: int,
        kernel_size: PairLike,
        stride: PairLike = 1,
        padding: PaddingLike = 0,
        dilation: PairLike = 1,
        *,
        depth_multiplier: int = 1,
        bias: bool = True,
        activation: ActivationLike | None = None,
        padding_mode: PaddingMode = "zeros",
        init: Any = "he",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.depthwise = DepthwiseConv2D(
            kernel_size,
            stride,
            padding,
            dilation,
            depth_multiplier=depth_multiplier,
            bias=False,
            padding_mode=padding_mode,
            init=init,
        )
        self.pointwise = Conv2D(filters, 1, bias=bias, activation=activation, init=init)

    def forward(self, x: Any) -> Any:
        return self.pointwise(self.depthwise(x))


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
        self.activation, self.padding_mode, self.init = activation, padding_mode, init
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
            activation=self.activation,
            layout=SCOPE.layout,
        )

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (self.filters, None, self.kernel_size) if name == "weight" else (self.filters,)


class DeformConv2D(Module):
    """Convolution whose taps move by offsets that a convolution of its own computes: `fastconv.deform_conv2d`.

    Dai et al., "Deformable Convolutional Networks", 2017; with `modulated` as in Zhu et al., 2019. Offsets begin at 0.

    Parameters
    ----------
    filters, kernel_size, stride, padding, dilation
        As of `Conv2D`; padding in numbers.
    modulated : bool
        Whether each tap has a factor between 0 and 1, too.
    bias, init
        As of `Conv2D`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.DeformConv2D(4, 3, padding=1)(np.ones((1, 2, 8, 8))).shape
    (1, 4, 8, 8)
    """

    shown = ("filters", "kernel_size", "stride", "padding", "dilation", "modulated")

    def __init__(
        self,
        filters: int,
        kernel_size: PairLike,
        stride: PairLike = 1,
        padding: PaddingLike = 0,
        dilation: PairLike = 1,
        *,
        modulated: bool = False,
        bias: bool = True,
        init: Any = "he",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        name = type(self).__name__
        self.filters = integer(name, "filters", filters, 1)
        self.kernel_size = pair(name, "kernel_size", kernel_size, 1)
        self.stride, self.dilation = pair(name, "stride", stride, 1), pair(name, "dilation", dilation, 1)
        if isinstance(padding, str):
            raise ValueError(f"{name}: padding is {padding!r}, but needs numbers")
        self.padding, self.modulated, self.init = padding, bool(modulated), init
        self.declare("weight")
        self.declare("bias", bias)
        taps = self.kernel_size[0] * self.kernel_size[1]
        options = {"stride": self.stride, "padding": padding, "dilation": self.dilation, "init": "zeros"}
        self.offset = Conv2D(2 * taps, kernel_size, **options)
        self.mask = Conv2D(taps, kernel_size, activation="sigmoid", **options) if modulated else None

    def forward(self, x: Any) -> Any:
        channels = self.channels(x)
        shape = (self.filters, channels, *self.kernel_size)
        self.check("weight", shape, f"x has {channels} channels")
        self.make("weight", shape, self.init)
        self.make("bias", (self.filters,), "zeros")
        mask = None if self.mask is None else self.mask(x)
        return DEFORM_CONV2D(
            x,
            self.offset(x),
            self.weight,
            self.bias,
            mask,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            layout=SCOPE.layout,
        )

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (self.filters, None, *self.kernel_size) if name == "weight" else (self.filters,)


class OctaveConv2D(Module):
    """Convolution of images of two resolutions: Chen et al., "Drop an Octave", 2019.

    Takes a pair of a fine image and one of half its size, or one image with `first`; gives such a pair, or one image
    where all channels are of the same kind.

    Parameters
    ----------
    filters, kernel_size, stride, padding
        As of `Conv2D`.
    alpha : float
        The share of the filters that are coarse, from 0 to 1.
    first : bool
        Whether the input is one image.
    bias, activation, init
        As of `Conv2D`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> fine, coarse = nn.OctaveConv2D(8, 3, padding=1, alpha=0.25, first=True)(np.ones((1, 3, 16, 16)))
    >>> fine.shape, coarse.shape
    ((1, 6, 16, 16), (1, 2, 8, 8))
    """

    shown = ("filters", "kernel_size", "stride", "padding", "alpha", "first")

    def __init__(
        self,
        filters: int,
        kernel_size: PairLike,
        stride: PairLike = 1,
        padding: PaddingLike = 0,
        *,
        alpha: float = 0.5,
        first: bool = False,
        bias: bool = True,
        activation: ActivationLike | None = None,
        init: Any = "he",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.filters = integer("OctaveConv2D", "filters", filters, 1)
        self.kernel_size, self.stride, self.padding, self.alpha = kernel_size, stride, padding, float(alpha)
        self.first = bool(first)
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"OctaveConv2D: alpha is {alpha}, but needs a number from 0 to 1")
        read_activation("OctaveConv2D", activation)
        self.activation = activation
        coarse = round(self.filters * self.alpha)
        shared: dict[str, Any] = {"stride": stride, "padding": padding, "init": init}

        def path(count: int, with_bias: bool) -> Conv2D | None:
            return Conv2D(count, kernel_size, bias=with_bias, **shared) if count else None

        self.fine_to_fine = path(self.filters - coarse, bias)
        self.fine_to_coarse = path(coarse, bias)
        self.coarse_to_fine = None if first else path(self.filters - coarse, False)
        self.coarse_to_coarse = None if first else path(coarse, False)

    def forward(self, x: Any) -> Any:
        is_pair = isinstance(x, (tuple, list))
        if is_pair == self.first:
            raise ValueError(
                f"x needs to be {'one image' if self.first else 'a fine image and a coarse one'}"
            )
        fine, coarse = x if is_pair else (x, None)
        small = AVG_POOL2D(fine, kernel_size=2, layout=SCOPE.layout)
        of_fine = None if self.fine_to_fine is None else self.fine_to_fine(fine)
        of_coarse = None if self.fine_to_coarse is None else self.fine_to_coarse(small)
        if coarse is not None:
            if self.coarse_to_fine is not None:
                grown = RESIZE2D(self.coarse_to_fine(coarse), scale_factor=2, layout=SCOPE.layout)
                of_fine = of_fine + grown
            if self.coarse_to_coarse is not None:
                of_coarse = of_coarse + self.coarse_to_coarse(coarse)
        if of_coarse is None or of_fine is None:
            return F.activation(of_fine if of_coarse is None else of_coarse, self.activation)
        return tuple(F.activation(y, self.activation) for y in (of_fine, of_coarse))
