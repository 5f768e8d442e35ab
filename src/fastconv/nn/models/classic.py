"""Networks of layers one after the other: LeNet-5, AlexNet, VGG, SqueezeNet, MobileNet v1."""

from __future__ import annotations

from typing import Any

from fastconv.nn.blocks.attention import attend
from fastconv.nn.blocks.branches import Fire
from fastconv.nn.blocks.parts import conv_norm
from fastconv.nn.containers import Sequential
from fastconv.nn.layers.conv import Conv2D
from fastconv.nn.layers.dense import Activation, Dense, Flatten
from fastconv.nn.layers.norm import BatchNorm2D, Dropout
from fastconv.nn.layers.pool import AdaptiveAvgPool2D, AvgPool2D, GlobalAvgPool2D, MaxPool2D
from fastconv.typing import ActivationLike, Layout

__all__ = [
    "alexnet",
    "lenet5",
    "mobilenet_v1",
    "squeezenet1_0",
    "squeezenet1_1",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]


def lenet5(
    num_classes: int = 10,
    *,
    activation: ActivationLike = "tanh",
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """LeNet-5, for images of 32x32 pixels and one channel: LeCun et al., "Gradient-Based Learning", 1998.

    With mean pooling, all channels connected and a fully connected end, as it is written today.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> nn.models.lenet5().summary((1, 1, 32, 32)).parameters
    61706
    """
    parts: dict[str, Any] = {}
    for place, filters in ((0, 6), (2, 16)):
        parts[str(place)] = Conv2D(filters, 5, activation=activation)
        attend(parts, attention, filters)
        parts[str(place + 1)] = AvgPool2D(2)
    parts |= {
        "4": Flatten(),
        "5": Dense(120, activation=activation),
        "6": Dense(84, activation=activation),
        "7": Dense(num_classes),
    }
    return Sequential(parts, layout=layout)


def alexnet(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """AlexNet, for images of 224x224 pixels: Krizhevsky, "One Weird Trick", 2014, as torchvision has it.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.alexnet().summary((1, 3, 224, 224)).parameters:,}"
    '61,100,840'
    """
    features: dict[str, Any] = {}
    for name, *made in (
        ("0", 64, 11, 4, 2), ("3", 192, 5, 1, 2), ("6", 384, 3, 1, 1), ("8", 256, 3, 1, 1), ("10", 256, 3, 1, 1),
    ):  # fmt: skip
        features[name] = Conv2D(*made, activation="relu")
        attend(features, attention, made[0])
        if name in ("0", "3", "10"):
            features[str(int(name) + 2)] = MaxPool2D(3, 2)
    classifier = {
        "0": Dropout(dropout),
        "1": Dense(4096, activation="relu"),
        "3": Dropout(dropout),
        "4": Dense(4096, activation="relu"),
        "6": Dense(num_classes),
    }
    return _image_classifier(features, AdaptiveAvgPool2D(6), Sequential(classifier), layout)


def _image_classifier(features: Any, pool: Any, classifier: Any, layout: Layout | None) -> Sequential:
    parts = {
        "features": Sequential(features),
        "avgpool": pool,
        "flatten": Flatten(),
        "classifier": classifier,
    }
    return Sequential(parts, layout=layout)


_VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def _vgg(
    depth: int,
    norm: bool,
    num_classes: int,
    dropout: float,
    attention: str | None,
    layout: Layout | None,
) -> Sequential:
    features: dict[str, Any] = {}
    place = 0
    for filters, count in zip((64, 128, 256, 512, 512), _VGG[depth], strict=True):
        for _ in range(count):
            if norm:
                features[str(place)] = Conv2D(filters, 3, 1, 1)
                features[str(place + 1)] = BatchNorm2D()
                features[str(place + 2)] = Activation("relu")
            else:
                features[str(place)] = Conv2D(filters, 3, 1, 1, activation="relu")
            place += 3 if norm else 2
        attend(features, attention, filters)
        features[str(place)] = MaxPool2D(2)
        place += 1
    classifier = {
        "0": Dense(4096, activation="relu"),
        "2": Dropout(dropout),
        "3": Dense(4096, activation="relu"),
        "5": Dropout(dropout),
        "6": Dense(num_classes),
    }
    return _image_classifier(features, AdaptiveAvgPool2D(7), Sequential(classifier), layout)


def vgg11(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """VGG-11: Simonyan and Zisserman, "Very Deep Convolutional Networks", 2015."""
    return _vgg(11, False, num_classes, dropout, attention, layout)


def vgg13(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """VGG-13; see `vgg11`."""
    return _vgg(13, False, num_classes, dropout, attention, layout)


def vgg16(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """VGG-16; see `vgg11`.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.vgg16().summary((1, 3, 224, 224)).parameters:,}"
    '138,357,544'
    """
    return _vgg(16, False, num_classes, dropout, attention, layout)


def vgg19(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """VGG-19; see `vgg11`."""
    return _vgg(19, False, num_classes, dropout, attention, layout)


def vgg11_bn(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """VGG-11 with batch normalisation; see `vgg11`."""
    return _vgg(11, True, num_classes, dropout, attention, layout)


def vgg13_bn(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """VGG-13 with batch normalisation; see `vgg11`."""
    return _vgg(13, True, num_classes, dropout, attention, layout)


def vgg16_bn(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """VGG-16 with batch normalisation; see `vgg11`."""
    return _vgg(16, True, num_classes, dropout, attention, layout)


def vgg19_bn(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """VGG-19 with batch normalisation; see `vgg11`."""
    return _vgg(19, True, num_classes, dropout, attention, layout)


def _squeezenet(
    stem: Conv2D,
    pooled_after: tuple[int, ...],
    num_classes: int,
    dropout: float,
    attention: str | None,
    layout: Layout | None,
) -> Sequential:
    """A first convolution and eight fire modules, with poolings after some of these."""
    features: dict[str, Any] = {"0": stem, "2": MaxPool2D(3, 2, ceil_mode=True)}
    number = 3
    for place, squeezed in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        features[str(number)] = Fire(squeezed, 4 * squeezed)
        attend(features, attention, 8 * squeezed)
        number += 1
        if place in pooled_after:
            features[str(number)] = MaxPool2D(3, 2, ceil_mode=True)
            number += 1
    classifier = {
        "0": Dropout(dropout),
        "1": Conv2D(num_classes, 1, activation="relu"),
        "3": GlobalAvgPool2D(keepdims=False),
    }
    return Sequential({"features": Sequential(features), "classifier": Sequential(classifier)}, layout=layout)


def squeezenet1_0(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """SqueezeNet 1.0: Iandola et al., 2016.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.squeezenet1_0().summary((1, 3, 224, 224)).parameters:,}"
    '1,248,424'
    """
    stem = Conv2D(96, 7, 2, activation="relu")
    return _squeezenet(stem, (2, 6), num_classes, dropout, attention, layout)


def squeezenet1_1(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """SqueezeNet 1.1: as 1.0 with less than half the work."""
    stem = Conv2D(64, 3, 2, activation="relu")
    return _squeezenet(stem, (1, 3), num_classes, dropout, attention, layout)


def mobilenet_v1(
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    dropout: float = 0.001,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """MobileNet v1: Howard et al., "MobileNets", 2017; `width` times the channels.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.mobilenet_v1().summary((1, 3, 224, 224)).parameters:,}"
    '4,231,976'
    """
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    channels = int(32 * width)
    features: dict[str, Any] = {"0": conv_norm(channels, 3, 2)}
    for place, (filters, stride) in enumerate(plan):
        wide = int(filters * width)
        features[str(2 * place + 1)] = conv_norm(channels, 3, stride, groups=channels)
        features[str(2 * place + 2)] = conv_norm(wide)
        attend(features, attention, wide)
        channels = wide
    ends = [GlobalAvgPool2D(keepdims=False), Dropout(dropout), Dense(num_classes)]
    return Sequential({"features": Sequential(features), "classifier": Sequential(*ends)}, layout=layout)
