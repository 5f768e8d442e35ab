"""Networks of inverted residual blocks, and ConvNeXt: MobileNet v2 and v3, EfficientNet."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv.arguments import integer
from fastconv.nn import functional as F
from fastconv.nn.blocks.attention import attention_of
from fastconv.nn.blocks.parts import StochasticDepth, conv_norm
from fastconv.nn.blocks.residual import InvertedResidual
from fastconv.nn.containers import Sequential
from fastconv.nn.layers.conv import Conv2D, DepthwiseConv2D
from fastconv.nn.layers.dense import Dense, Flatten
from fastconv.nn.layers.norm import Dropout, LayerNorm
from fastconv.nn.layers.pool import GlobalAvgPool2D
from fastconv.nn.module import Module
from fastconv.typing import Array, Layout

__all__ = [
    "convnext_tiny",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
]


def divisible(value: float, by: int = 8) -> int:
    """The nearest multiple, but not less than nine tenths: how all of these round channels."""
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * value else rounded


def _classifier(features: list[Any], classifier: Any, layout: Layout | None) -> Sequential:
    parts = {
        "features": Sequential(*features),
        "avgpool": GlobalAvgPool2D(keepdims=False),
        "classifier": classifier,
    }
    return Sequential(parts, layout=layout)


def mobilenet_v2(
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    dropout: float = 0.2,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """MobileNet v2: Sandler et al., "Inverted Residuals and Linear Bottlenecks", 2018; `width` times the channels.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.mobilenet_v2().summary((1, 3, 224, 224)).parameters:,}"
    '3,504,872'
    """
    plan = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]
    channels = divisible(32 * width)
    features: list[Any] = [conv_norm(channels, 3, 2, activation="relu6")]
    for factor, filters, count, stride in plan:
        wide = divisible(filters * width)
        for place in range(count):
            step = stride if place == 0 else 1
            features.append(InvertedResidual(channels, wide, step, channels * factor, attention=attention))
            channels = wide
    features.append(conv_norm(divisible(1280 * max(1.0, width)), activation="relu6"))
    return _classifier(features, Sequential(Dropout(dropout), Dense(num_classes)), layout)


# Kernel, channels between, filters, squeeze-and-excite, activation, stride.
_LARGE: list[tuple[int, int, int, bool, Any, int]] = [
    (3, 16, 16, False, "relu", 1), (3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2), (5, 120, 40, True, "relu", 1), (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hardswish", 2), (3, 200, 80, False, "hardswish", 1), (3, 184, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1), (3, 480, 112, True, "hardswish", 1), (3, 672, 112, True, "hardswish", 1),
    (5, 672, 160, True, "hardswish", 2), (5, 960, 160, True, "hardswish", 1), (5, 960, 160, True, "hardswish", 1),
]  # fmt: skip
_SMALL: list[tuple[int, int, int, bool, Any, int]] = [
    (3, 16, 16, True, "relu", 2), (3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hardswish", 2), (5, 240, 40, True, "hardswish", 1), (5, 240, 40, True, "hardswish", 1),
    (5, 120, 48, True, "hardswish", 1), (5, 144, 48, True, "hardswish", 1), (5, 288, 96, True, "hardswish", 2),
    (5, 576, 96, True, "hardswish", 1), (5, 576, 96, True, "hardswish", 1),
]  # fmt: skip


def _mobilenet_v3(
    plan: list[tuple[int, int, int, bool, Any, int]],
    last: int,
    num_classes: int,
    dropout: float,
    attention: str | None,
    layout: Layout | None,
) -> Sequential:
    norm: dict[str, Any] = {"eps": 1e-3, "momentum": 0.01}
    channels = 16
    features: list[Any] = [conv_norm(16, 3, 2, activation="hardswish", **norm)]
    for kernel, wide, filters, squeeze, activation, stride in plan:
        features.append(
            InvertedResidual(
                channels,
                filters,
                stride,
                wide,
                kernel,
                activation=activation,
                squeezed=divisible(wide // 4) if squeeze else None,
                gate="hardsigmoid",
                name="block",
                flat=False,
                attention=attention,
                **norm,
            )
        )
        channels = filters
    features.append(conv_norm(6 * channels, activation="hardswish", **norm))
    ends = {
        "0": Dense(last, activation="hardswish"),
        "2": Dropout(dropout),
        "3": Dense(num_classes),
    }
    return _classifier(features, Sequential(ends), layout)


def mobilenet_v3_large(
    num_classes: int = 1000,
    *,
    dropout: float = 0.2,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """MobileNet v3, the large one: Howard et al., "Searching for MobileNetV3", 2019."""
    return _mobilenet_v3(_LARGE, 1280, num_classes, dropout, attention, layout)


def mobilenet_v3_small(
    num_classes: int = 1000,
    *,
    dropout: float = 0.2,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """MobileNet v3, the small one; see `mobilenet_v3_large`."""
    return _mobilenet_v3(_SMALL, 1024, num_classes, dropout, attention, layout)


# Factor of the channels between, kernel, stride, filters, blocks.
_EFFICIENT = [
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
]  # fmt: skip


def _efficientnet(
    width: float,
    depth: float,
    num_classes: int,
    dropout: float,
    attention: str | None,
    layout: Layout | None,
) -> Sequential:
    counts = [math.ceil(count * depth) for *_, count in _EFFICIENT]
    channels, done = divisible(32 * width), 0
    features: list[Any] = [conv_norm(channels, 3, 2, activation="silu")]
    for (factor, kernel, stride, filters, _), count in zip(_EFFICIENT, counts, strict=True):
        wide, blocks = divisible(filters * width), list[Any]()
        for place in range(count):
            blocks.append(
                InvertedResidual(
                    channels,
                    wide,
                    stride if place == 0 else 1,
                    divisible(channels * factor),
                    kernel,
                    activation="silu",
                    squeezed=max(1, channels // 4),
                    squeeze_activation="silu",
                    drop=0.2 * done / sum(counts),
                    name="block",
                    flat=False,
                    attention=attention,
                )
            )
            channels, done = wide, done + 1
        features.append(Sequential(*blocks))
    features.append(conv_norm(4 * channels, activation="silu"))
    return _classifier(features, Sequential(Dropout(dropout), Dense(num_classes)), layout)


def efficientnet_b0(
    num_classes: int = 1000,
    *,
    dropout: float = 0.2,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """EfficientNet-B0: Tan and Le, "EfficientNet", 2019; for images of 224x224 pixels.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.efficientnet_b0().summary((1, 3, 224, 224)).parameters:,}"
    '5,288,548'
    """
    return _efficientnet(1.0, 1.0, num_classes, dropout, attention, layout)


def efficientnet_b1(
    num_classes: int = 1000,
    *,
    dropout: float = 0.2,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """EfficientNet-B1, for images of 240x240 pixels; see `efficientnet_b0`."""
    return _efficientnet(1.0, 1.1, num_classes, dropout, attention, layout)


def efficientnet_b2(
    num_classes: int = 1000,
    *,
    dropout: float = 0.3,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """EfficientNet-B2, for images of 260x260 pixels; see `efficientnet_b0`."""
    return _efficientnet(1.1, 1.2, num_classes, dropout, attention, layout)


def _almost_nothing(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> Array:
    """The paper's first scale: blocks begin as their shortcuts."""
    return np.full(shape, 1e-6, dtype)


class ConvNeXtBlock(Module):
    """A depthwise 7x7 convolution and two dense layers around a shortcut: Liu et al., 2022.

    Parameters
    ----------
    channels : int
    drop : float
        The rate of stochastic depth.
    attention : str, optional
        As of `blocks.Residual`.
    """

    def __init__(
        self, channels: int, drop: float = 0.0, *, attention: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.channels_scaled = integer("ConvNeXtBlock", "channels", channels, 1)
        self.declare("layer_scale")
        self.block = Sequential(
            {
                "0": DepthwiseConv2D(7, 1, 3),
                "2": LayerNorm(channels, eps=1e-6),
                "3": Dense(4 * channels, activation="gelu"),
                "5": Dense(channels),
            }
        )
        self.attention = attention_of(attention, channels)
        self.drop = StochasticDepth(drop)

    def expected(self, name: str) -> tuple[int | None, ...]:
        return (self.channels_scaled, 1, 1)

    def forward(self, x: Any) -> Any:
        """Between the convolution and the end, the channels come last."""
        self.make("layer_scale", (self.channels_scaled, 1, 1), _almost_nothing)
        last = F.channel_axis(4) == 3
        convolve, *others = self.block
        y = convolve(x)
        if not last:
            y = y.transpose(0, 2, 3, 1)
        norm, wide, narrow = others
        y = narrow(wide(norm(y)))
        if not last:
            y = y.transpose(0, 3, 1, 2)
        if self.attention is not None:
            y = self.attention(y)
        return x + self.drop(y * (self.layer_scale.reshape(-1) if last else self.layer_scale))


def convnext_tiny(
    num_classes: int = 1000, *, drop: float = 0.1, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """ConvNeXt-Tiny: Liu et al., "A ConvNet for the 2020s", 2022.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.convnext_tiny().summary((1, 3, 224, 224)).parameters:,}"
    '28,589,128'
    """
    depths, done = (3, 3, 9, 3), 0
    features: list[Any] = [Sequential(Conv2D(96, 4, 4), LayerNorm(eps=1e-6))]
    for stage, depth in enumerate(depths):
        channels = 96 << stage
        if stage:
            features.append(Sequential(LayerNorm(eps=1e-6), Conv2D(channels, 2, 2)))
        blocks = []
        for _ in range(depth):
            blocks.append(ConvNeXtBlock(channels, drop * done / (sum(depths) - 1), attention=attention))
            done += 1
        features.append(Sequential(*blocks))
    parts = {
        "features": Sequential(*features),
        "avgpool": GlobalAvgPool2D(),
        "classifier": Sequential(LayerNorm(eps=1e-6), Flatten(), Dense(num_classes)),
    }
    return Sequential(parts, layout=layout)
