"""Layers that are made of several convolutions: separable, deformable, of two resolutions."""

from __future__ import annotations

from typing import Any

from fastconv.arguments import integer, pair
from fastconv.nn import functional as F
from fastconv.nn.layers.conv import Conv2D, DepthwiseConv2D
from fastconv.nn.module import Module
from fastconv.nn.operations.conv import DEFORM_CONV2D
from fastconv.nn.operations.images import RESIZE2D
from fastconv.nn.operations.pool import AVG_POOL2D
from fastconv.nn.scope import SCOPE
from fastconv.problem.options import activation as read_activation
from fastconv.typing import ActivationLike, PaddingLike, PaddingMode, PairLike


class SeparableConv2D(Module):
    """A depthwise convolution and one of single pixels: `fastconv.separable_conv2d`.

    Parameters
    ----------
    filters, kernel_size, stride, padding, dilation
        As of `Conv2D`; stride, padding and dilation are those of the depthwise one.
    depth_multiplier : int
    bias : bool
        Of the second, as in Keras.
    activation, padding_mode, padding_value, init
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
        padding_value: float = 0.0,
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
            padding_value=padding_value,
            init=init,
        )
        self.pointwise = Conv2D(filters, 1, bias=bias, activation=activation, init=init)

    def forward(self, x: Any) -> Any:
        return self.pointwise(self.depthwise(x))


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
