"""Sets of layers that are no networks: single layers of every kind, and filters of images. Listed in `networks.py`.

The shapes are those of well-known networks: ResNet, VGG, Inception, MobileNetV2, EfficientNet, ConvNeXt, ResNeXt,
DeepLab, DCGAN, U-Net, FCN and DenseNet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fastconv.bench.layers.layer import Layer, Shape, conv, pool, transposed


def kinds(batch: int) -> list[Layer]:
    """Layers of every kind."""

    def x(channels: int, size: int) -> Shape:
        return batch, channels, size, size

    return [
        conv("stem 7x7/2 3->64", x(3, 224), 64, 7, 2, 3),
        conv("3x3 64->64, 224", x(64, 224), 64, 3, 1, 1),
        conv("3x3 64->64, 56", x(64, 56), 64, 3, 1, 1),
        conv("3x3 256->256, 56", x(256, 56), 256, 3, 1, 1),
        conv("3x3 128->128, 28", x(128, 28), 128, 3, 1, 1),
        conv("3x3 512->512, 28", x(512, 28), 512, 3, 1, 1),
        conv("3x3 256->256, 14", x(256, 14), 256, 3, 1, 1),
        conv("3x3 512->512, 7", x(512, 7), 512, 3, 1, 1),
        conv("3x3/2 128->128, 56", x(128, 56), 128, 3, 2, 1),
        conv("5x5 48->64, 35", x(48, 35), 64, 5, 1, 2),
        conv("1x7 128->192, 17", x(128, 17), 192, (1, 7), 1, (0, 3)),
        conv("1x1 64->256, 56", x(64, 56), 256, 1),
        conv("1x1 256->64, 56", x(256, 56), 64, 1),
        conv("1x1 1024->256, 14", x(1024, 14), 256, 1),
        conv("1x1/2 256->512, 56", x(256, 56), 512, 1, 2),
        conv("depthwise 3x3 144, 56", x(144, 56), 144, 3, 1, 1, groups=144),
        conv("depthwise 3x3/2 96, 112", x(96, 112), 96, 3, 2, 1, groups=96),
        conv("depthwise 5x5 240, 28", x(240, 28), 240, 5, 1, 2, groups=240),
        conv("depthwise 7x7 96, 56", x(96, 56), 96, 7, 1, 3, groups=96),
        conv("grouped 3x3 128, 56", x(128, 56), 128, 3, 1, 1, groups=32),
        conv("dilated 3x3 256->256, 33", x(256, 33), 256, 3, 1, 6, 6),
        conv("far dilated 3x3 256->256, 33", x(256, 33), 256, 3, 1, 12, 12),
        transposed("transposed 4x4/2 128->64, 32", x(128, 32), 64, 4, 2, 1),
        transposed("transposed 2x2/2 256->128, 64", x(256, 64), 128, 2, 2),
        transposed("transposed 16x16/8 21->21, 34", x(21, 34), 21, 16, 8),
        pool("max 2x2/2 64, 224", "max", x(64, 224), 2, 2),
        pool("max 3x3/2 64, 112", "max", x(64, 112), 3, 2, 1),
        pool("avg 2x2/2 128, 56", "avg", x(128, 56), 2, 2),
        Layer("global avg 2048, 7", "global_avg_pool2d", {"x": x(2048, 7)}),
    ]


def image_filters(channels: int) -> Callable[[int], list[Layer]]:
    """The set of filters of images with so many channels."""

    def layers(batch: int) -> list[Layer]:
        x = (batch, channels, 1024, 1024)
        made = [
            conv(f"{size}x{size}", x, channels, size, padding="same", groups=channels, bias=False)
            for size in (3, 5, 7, 9, 11, 15, 21, 31)
        ]
        return [replace(layer, same_filters=True) for layer in made]

    layers.__doc__ = "One filter for every channel of an image of 2**20 pixels, from 3x3 to 31x31."
    return layers
