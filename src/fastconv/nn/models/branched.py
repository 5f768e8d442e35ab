"""Networks whose blocks have branches: GoogLeNet, DenseNet, ShuffleNet v2."""

from __future__ import annotations

from typing import Any

from fastconv.nn import functional as F
from fastconv.nn.blocks import branches
from fastconv.nn.blocks.attention import attend
from fastconv.nn.blocks.branches import Inception, Transition, named_conv
from fastconv.nn.blocks.parts import conv_norm
from fastconv.nn.containers import Sequential
from fastconv.nn.layers.conv import Conv2D
from fastconv.nn.layers.dense import Activation, Dense
from fastconv.nn.layers.norm import BatchNorm2D, Dropout
from fastconv.nn.layers.pool import GlobalAvgPool2D, MaxPool2D
from fastconv.nn.module import Module
from fastconv.typing import Layout

__all__ = [
    "densenet",
    "densenet121",
    "densenet169",
    "densenet201",
    "googlenet",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "two_inceptions",
]

_INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def _joined(channels: tuple[int, ...]) -> int:
    """What the branches give together."""
    return channels[0] + channels[2] + channels[4] + channels[5]


def googlenet(
    num_classes: int = 1000,
    *,
    dropout: float = 0.2,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """GoogLeNet without auxiliary heads: Szegedy et al., "Going Deeper with Convolutions", 2015.

    As torchvision has it: with batch normalisation, and kernels of 3x3 in place of 5x5.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.googlenet().summary((1, 3, 224, 224)).parameters:,}"
    '6,624,904'
    """
    parts: dict[str, Any] = {
        "conv1": named_conv(64, 7, 2),
        "maxpool1": MaxPool2D(3, 2, ceil_mode=True),
        "conv2": named_conv(64),
        "conv3": named_conv(192, 3),
        "maxpool2": MaxPool2D(3, 2, ceil_mode=True),
    }
    for name, channels in _INCEPTIONS.items():
        if name == "4a":
            parts["maxpool3"] = MaxPool2D(3, 2, ceil_mode=True)
        if name == "5a":
            parts["maxpool4"] = MaxPool2D(2, 2, ceil_mode=True)
        parts[f"inception{name}"] = Inception(*channels, large=3)
        attend(parts, attention, _joined(channels))
    parts |= {
        "avgpool": GlobalAvgPool2D(keepdims=False),
        "dropout": Dropout(dropout),
        "fc": Dense(num_classes),
    }
    return Sequential(parts, layout=layout)


def two_inceptions(
    num_classes: int = 10, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """A small network of two Inception modules, as notes on the subject build it.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.models.two_inceptions()(np.ones((1, 3, 32, 32))).shape
    (1, 10)
    """
    parts: dict[str, Any] = {"0": named_conv(64, 3), "1": MaxPool2D(3, 2, 1)}
    for place, name in (("2", "3a"), ("3", "3b")):
        parts[place] = Inception(*_INCEPTIONS[name])
        attend(parts, attention, _joined(_INCEPTIONS[name]))
    return Sequential(parts | {"4": GlobalAvgPool2D(keepdims=False), "5": Dense(num_classes)}, layout=layout)


def densenet(
    blocks: tuple[int, ...],
    growth: int = 32,
    first: int = 64,
    num_classes: int = 1000,
    *,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """A DenseNet: Huang et al., "Densely Connected Convolutional Networks", 2017.

    Parameters
    ----------
    blocks : tuple of int
        Layers of each dense block.
    growth : int
        Channels that each layer adds.
    first : int
        Channels of the first convolution.
    num_classes : int
    attention : {"se", "cbam", "eca", "spatial", "non_local"}, optional
        Behind every dense block.
    layout : {"NCHW", "NHWC"}, optional

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.models.densenet((6, 12, 24), num_classes=10)(np.ones((1, 3, 64, 64))).shape
    (1, 10)
    """
    features: dict[str, Any] = {
        "conv0": Conv2D(first, 7, 2, 3, bias=False),
        "norm0": BatchNorm2D(),
        "relu0": Activation("relu"),
        "pool0": MaxPool2D(3, 2, 1),
    }
    channels = first
    for place, layers in enumerate(blocks, 1):
        features[f"denseblock{place}"] = branches.Dense(layers, growth)
        channels += layers * growth
        attend(features, attention, channels)
        if place < len(blocks):
            channels //= 2
            features[f"transition{place}"] = Transition(channels)
    features[f"norm{len(blocks) + 1}"] = BatchNorm2D()
    parts = {
        "features": Sequential(features),
        "relu": Activation("relu"),
        "pool": GlobalAvgPool2D(keepdims=False),
        "classifier": Dense(num_classes),
    }
    return Sequential(parts, layout=layout)


def densenet121(
    num_classes: int = 1000, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """DenseNet-121; see `densenet`."""
    return densenet((6, 12, 24, 16), num_classes=num_classes, attention=attention, layout=layout)


def densenet169(
    num_classes: int = 1000, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """DenseNet-169; see `densenet`."""
    return densenet((6, 12, 32, 32), num_classes=num_classes, attention=attention, layout=layout)


def densenet201(
    num_classes: int = 1000, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """DenseNet-201; see `densenet`."""
    return densenet((6, 12, 48, 32), num_classes=num_classes, attention=attention, layout=layout)


class ShuffleUnit(Module):
    """Half of the channels as they are, the others through a depthwise convolution, shuffled: Ma et al., 2018.

    Parameters
    ----------
    filters : int
    stride : int
        With 2, both halves see all channels.
    channels : int
        Of the input.
    """

    def __init__(self, channels: int, filters: int, stride: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.stride, half = stride, filters // 2
        if stride > 1:
            depthwise = Conv2D(channels, 3, stride, 1, groups=channels, bias=False)
            self.branch1 = Sequential(depthwise, BatchNorm2D(), *conv_norm(half))
        self.branch2 = Sequential(
            *conv_norm(half),
            Conv2D(half, 3, stride, 1, groups=half, bias=False),
            BatchNorm2D(),
            *conv_norm(half),
        )

    def forward(self, x: Any) -> Any:
        if self.stride > 1:
            halves = [self.branch1(x), self.branch2(x)]
        else:
            last = F.channel_axis(4) == 3
            half = x.shape[3 if last else 1] // 2
            if last:
                halves = [x[:, :, :, :half], self.branch2(x[:, :, :, half:])]
            else:
                halves = [x[:, :half], self.branch2(x[:, half:])]
        return F.channel_shuffle(F.concatenate(halves), 2)


def _shufflenet(
    widths: tuple[int, ...], num_classes: int, attention: str | None, layout: Layout | None
) -> Sequential:
    parts: dict[str, Any] = {"conv1": conv_norm(24, 3, 2), "maxpool": MaxPool2D(3, 2, 1)}
    channels = 24
    for stage, (filters, count) in enumerate(zip(widths[:3], (4, 8, 4), strict=True), 2):
        units = [
            ShuffleUnit(channels, filters, 2),
            *(ShuffleUnit(filters, filters) for _ in range(count - 1)),
        ]
        held: dict[str, Any] = {}
        for place, unit in enumerate(units):
            held[str(place)] = unit
            attend(held, attention, filters)
        parts[f"stage{stage}"] = Sequential(held)
        channels = filters
    parts |= {
        "conv5": conv_norm(widths[3]),
        "pool": GlobalAvgPool2D(keepdims=False),
        "fc": Dense(num_classes),
    }
    return Sequential(parts, layout=layout)


def shufflenet_v2_x0_5(
    num_classes: int = 1000, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """ShuffleNet v2 with half the channels; see `shufflenet_v2_x1_0`."""
    return _shufflenet((48, 96, 192, 1024), num_classes, attention, layout)


def shufflenet_v2_x1_0(
    num_classes: int = 1000, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """ShuffleNet v2: Ma et al., "Practical Guidelines for Efficient CNN Architecture Design", 2018.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.shufflenet_v2_x1_0().summary((1, 3, 224, 224)).parameters:,}"
    '2,278,604'
    """
    return _shufflenet((116, 232, 464, 1024), num_classes, attention, layout)
