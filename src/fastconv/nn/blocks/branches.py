"""Blocks whose parts stand side by side: dense blocks, Inception modules, fire modules, pyramids of dilations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastconv.nn import functional as F
from fastconv.nn.blocks.parts import conv_norm
from fastconv.nn.containers import Parallel, Sequential, in_turn
from fastconv.nn.layers.conv import Conv2D
from fastconv.nn.layers.dense import Activation
from fastconv.nn.layers.norm import BatchNorm2D, Dropout
from fastconv.nn.layers.pool import AvgPool2D, MaxPool2D
from fastconv.nn.module import Module


def named_conv(filters: int, kernel_size: Any = 1, stride: Any = 1, padding: Any = None) -> Sequential:
    """As `conv_norm`, with torchvision's names for GoogLeNet and Inception, and their epsilon."""
    conv, norm, activation = conv_norm(filters, kernel_size, stride, padding=padding, eps=1e-3)
    return Sequential({"conv": conv, "bn": norm, "relu": activation})


class DenseLayer(Module):
    """Normalisation, activation and convolution, of 1x1 and of 3x3, whose result joins the input."""

    def __init__(self, growth: int, bottleneck: int = 4, **options: Any) -> None:
        super().__init__(**options)
        self.norm1 = BatchNorm2D()
        self.conv1 = Conv2D(bottleneck * growth, 1, bias=False)
        self.norm2 = BatchNorm2D()
        self.conv2 = Conv2D(growth, 3, 1, 1, bias=False)

    def forward(self, x: Any) -> Any:
        y = self.conv1(in_turn((self.norm1,), x, activation="relu"))
        return F.concatenate([x, self.conv2(in_turn((self.norm2,), y, activation="relu"))])


class Dense(Sequential):
    """Layers that see the results of all before them: Huang et al., "Densely Connected Networks", 2017.

    Parameters
    ----------
    layers : int
    growth : int
        Channels that each adds.
    bottleneck : int
        Times the growth: channels between the two convolutions of a layer.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.blocks.Dense(3, growth=4)(np.ones((1, 8, 6, 6))).shape
    (1, 20, 6, 6)
    """

    def __init__(self, layers: int, growth: int = 32, bottleneck: int = 4, **options: Any) -> None:
        made = {f"denselayer{place + 1}": DenseLayer(growth, bottleneck) for place in range(int(layers))}
        super().__init__(made, **options)


class Transition(Sequential):
    """Between dense blocks: a 1x1 convolution to fewer channels, and half the size.

    Parameters
    ----------
    filters : int

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.blocks.Transition(4)(np.ones((1, 8, 6, 6))).shape
    (1, 4, 3, 3)
    """

    def __init__(self, filters: int, **options: Any) -> None:
        parts = {
            "norm": BatchNorm2D(),
            "relu": Activation("relu"),
            "conv": Conv2D(filters, 1, bias=False),
            "pool": AvgPool2D(2),
        }
        super().__init__(parts, **options)


class Inception(Parallel):
    """Convolutions of 1x1, of 3x3 and of 5x5, and a pooling, side by side: Szegedy et al., 2015.

    Parameters
    ----------
    ones, threes, fives, pooled : int
        Channels of the four branches.
    before_threes, before_fives : int
        Channels of the 1x1 convolutions before the larger ones.
    large : int
        The kernel of the third branch: 5 in the paper, 3 in torchvision.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.blocks.Inception(64, 96, 128, 16, 32, 32)(np.ones((1, 192, 7, 7))).shape
    (1, 256, 7, 7)
    """

    def __init__(
        self,
        ones: int,
        before_threes: int,
        threes: int,
        before_fives: int,
        fives: int,
        pooled: int,
        *,
        large: int = 5,
        **options: Any,
    ) -> None:
        branches = {
            "branch1": named_conv(ones),
            "branch2": Sequential(named_conv(before_threes), named_conv(threes, 3)),
            "branch3": Sequential(named_conv(before_fives), named_conv(fives, large)),
            "branch4": Sequential(MaxPool2D(3, 1, 1, ceil_mode=True), named_conv(pooled)),
        }
        super().__init__(branches, **options)


class Fire(Module):
    """A 1x1 convolution to few channels, then of 1x1 and 3x3 side by side: Iandola et al., "SqueezeNet", 2016.

    Parameters
    ----------
    squeezed, expanded : int
        Channels of the first, and of each of the others.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.blocks.Fire(4, 16)(np.ones((1, 8, 6, 6))).shape
    (1, 32, 6, 6)
    """

    def __init__(self, squeezed: int, expanded: int, **options: Any) -> None:
        super().__init__(**options)
        self.squeeze = Conv2D(squeezed, 1, activation="relu")
        self.expand1x1 = Conv2D(expanded, 1, activation="relu")
        self.expand3x3 = Conv2D(expanded, 3, 1, 1, activation="relu")

    def forward(self, x: Any) -> Any:
        y = self.squeeze(x)
        return F.concatenate([self.expand1x1(y), self.expand3x3(y)])


class _Pooled(Sequential):
    """The mean of the image, convolved, at every place."""

    def __init__(self, filters: int, **options: Any) -> None:
        super().__init__({"1": Conv2D(filters, 1, bias=False), "2": BatchNorm2D()}, **options)

    def forward(self, x: Any) -> Any:
        size = x.shape[1:3] if F.channel_axis(4) == 3 else x.shape[2:4]
        y = F.relu(self["2"](self["1"](F.global_avg_pool2d(x))))
        return F.resize2d(y, size, mode="linear")


class ASPP(Module):
    """Convolutions of several dilations, and the image's mean, side by side: Chen et al., "DeepLabv3", 2017.

    Parameters
    ----------
    filters : int
    rates : sequence of int
        The dilations.
    dropout : float

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.blocks.ASPP(8, (2, 4))(np.ones((1, 4, 12, 12))).shape
    (1, 8, 12, 12)
    """

    def __init__(
        self, filters: int = 256, rates: Sequence[int] = (12, 24, 36), dropout: float = 0.5, **options: Any
    ) -> None:
        super().__init__(**options)
        branches = [conv_norm(filters), *(conv_norm(filters, 3, dilation=rate) for rate in rates)]
        self.convs = [*branches, _Pooled(filters)]
        project = [*conv_norm(filters), Dropout(dropout)]
        self.project = Sequential(*project)

    def forward(self, x: Any) -> Any:
        return self.project(F.concatenate([branch(x) for branch in self.convs]))
