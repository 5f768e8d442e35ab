"""Networks of layers one after the other: LeNet-5, AlexNet, VGG, SqueezeNet, MobileNet v1."""

from __future__ import annotations

from typing import Any

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
    num_classes: int = 10, *, activation: ActivationLike = "tanh", layout: Layout | None = None
) -> Sequential:
    """LeNet-5, for images of 32x32 pixels and one channel: LeCun et al., "Gradient-Based Learning", 1998.

    With mean pooling, all channels connected and a fully connected end, as it is written today.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> nn.models.lenet5().summary((1, 1, 32, 32)).parameters
    61706
    """
    return Sequential(
        Conv2D(6, 5, activation=activation),
        AvgPool2D(2),
        Conv2D(16, 5, activation=activation),
        AvgPool2D(2),
        Flatten(),
        Dense(120, activation=activation),
        Dense(84, activation=activation),
        Dense(num_classes),
        layout=layout,
    )


def alexnet(num_classes: int = 1000, *, dropout: float = 0.5, layout: Layout | None = None) -> Sequential:
    """AlexNet, for images of 224x224 pixels: Krizhevsky, "One Weird Trick", 2014, as torchvision has it.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.alexnet().summary((1, 3, 224, 224)).parameters:,}"
    '61,100,840'
    """
    features: dict[str, Any] = {
        "0": Conv2D(64, 11, 4, 2, activation="relu"),
        "2": MaxPool2D(3, 2),
        "3": Conv2D(192, 5, 1, 2, activation="relu"),
        "5": MaxPool2D(3, 2),
        "6": Conv2D(384, 3, 1, 1, activation="relu"),
        "8": Conv2D(256, 3, 1, 1, activation="relu"),
        "10": Conv2D(256, 3, 1, 1, activation="relu"),
        "12": MaxPool2D(3, 2),
    }
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


def _vgg(depth: int, norm: bool, num_classes: int, dropout: float, layout: Layout | None) -> Sequential:
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


def vgg11(num_classes: int = 1000, *, dropout: float = 0.5, layout: Layout | None = None) -> Sequential:
    """VGG-11: Simonyan and Zisserman, "Very Deep Convolutional Networks", 2015."""
    return _vgg(11, False, num_classes, dropout, layout)


def vgg13(num_classes: int = 1000, *, dropout: float = 0.5, layout: Layout | None = None) -> Sequential:
    """VGG-13; see `vgg11`."""
    return _vgg(13, False, num_classes, dropout, layout)


def vgg16(num_classes: int = 1000, *, dropout: float = 0.5, layout: Layout | None = None) -> Sequential:
    """VGG-16; see `vgg11`.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.vgg16().summary((1, 3, 224, 224)).parameters:,}"
    '138,357,544'
    """
    return _vgg(16, False, num_classes, dropout, layout)


def vgg19(num_classes: int = 1000, *, dropout: float = 0.5, layout: Layout | None = None) -> Sequential:
    """VGG-19; see `vgg11`."""
    return _vgg(19, False, num_classes, dropout, layout)


def vgg11_bn(num_classes: int = 1000, *, dropout: float = 0.5, layout: Layout | None = None) -> Sequential:
    """VGG-11 with batch normalisation; see `vgg11`."""
    return _vgg(11, True, num_classes, dropout, layout)


def vgg13_bn(num_classes: int = 1000, *, dropout: float = 0.5, layout: Layout | None = None) -> Sequential:
    """VGG-13 with batch normalisation; see `vgg11`."""
    return _vgg(13, True, num_classes, dropout, layout)


def vgg16_bn(num_classes: int = 1000, *, dropout: float = 0.5, layout: Layout | None = None) -> Sequential:
    """VGG-16 with batch normalisation; see `vgg11`."""
    return _vgg(16, True, num_classes, dropout, layout)


def vgg19_bn(num_classes: int = 1000, *, dropout: float = 0.5, layout: Layout | None = None) -> Sequential:
    """VGG-19 with batch normalisation; see `vgg11`."""
    return _vgg(19, True, num_classes, dropout, layout)


def _squeezenet(
    features: dict[str, Any], num_classes: int, dropout: float, layout: Layout | None
) -> Sequential:
    classifier = {
        "0": Dropout(dropout),
        "1": Conv2D(num_classes, 1, activation="relu"),
        "3": GlobalAvgPool2D(keepdims=False),
    }
    return Sequential({"features": Sequential(features), "classifier": Sequential(classifier)}, layout=layout)


def squeezenet1_0(
    num_classes: int = 1000, *, dropout: float = 0.5, layout: Layout | None = None
) -> Sequential:
    """SqueezeNet 1.0: Iandola et al., 2016.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.squeezenet1_0().summary((1, 3, 224, 224)).parameters:,}"
    '1,248,424'
    """
    features: dict[str, Any] = {
        "0": Conv2D(96, 7, 2, activation="relu"),
        "2": MaxPool2D(3, 2, ceil_mode=True),
        "3": Fire(16, 64),
        "4": Fire(16, 64),
        "5": Fire(32, 128),
        "6": MaxPool2D(3, 2, ceil_mode=True),
        "7": Fire(32, 128),
        "8": Fire(48, 192),
        "9": Fire(48, 192),
        "10": Fire(64, 256),
        "11": MaxPool2D(3, 2, ceil_mode=True),
        "12": Fire(64, 256),
    }
    return _squeezenet(features, num_classes, dropout, layout)


def squeezenet1_1(
    num_classes: int = 1000, *, dropout: float = 0.5, layout: Layout | None = None
) -> Sequential:
    """SqueezeNet 1.1: as 1.0 with less than half the work."""
    features: dict[str, Any] = {
        "0": Conv2D(64, 3, 2, activation="relu"),
        "2": MaxPool2D(3, 2, ceil_mode=True),
        "3": Fire(16, 64),
        "4": Fire(16, 64),
        "5": MaxPool2D(3, 2, ceil_mode=True),
        "6": Fire(32, 128),
        "7": Fire(32, 128),
        "8": MaxPool2D(3, 2, ceil_mode=True),
        "9": Fire(48, 192),
        "10": Fire(48, 192),
        "11": Fire(64, 256),
        "12": Fire(64, 256),
    }
    return _squeezenet(features, num_classes, dropout, layout)


def mobilenet_v1(
    num_classes: int = 1000, *, width: float = 1.0, dropout: float = 0.001, layout: Layout | None = None
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
    parts: list[Any] = [conv_norm(channels, 3, 2)]
    for filters, stride in plan:
        wide = int(filters * width)
        parts += [conv_norm(channels, 3, stride, groups=channels), conv_norm(wide)]
        channels = wide
    ends = [GlobalAvgPool2D(keepdims=False), Dropout(dropout), Dense(num_classes)]
    return Sequential({"features": Sequential(*parts), "classifier": Sequential(*ends)}, layout=layout)
