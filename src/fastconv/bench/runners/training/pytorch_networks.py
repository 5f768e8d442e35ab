"""The networks of `NETWORKS` in PyTorch, their parameters in the same order. Called by `pytorch_step.py`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

Tensor = Any  # of torch, whose types are not known where it is not installed


def _conv_norm(channels: int, filters: int, size: int = 1, stride: int = 1, groups: int = 1) -> list[Any]:
    conv = nn.Conv2d(channels, filters, size, stride, size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(filters)]


def lenet() -> Any:
    """LeNet-5 with hyperbolic tangents."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


class _Residual(nn.Module):  # type: ignore[misc,unused-ignore]
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        first = _conv_norm(channels, filters, 3, stride)
        self.body = nn.Sequential(*first, nn.ReLU(inplace=True), *_conv_norm(filters, filters, 3))
        self.short = nn.Sequential(*(_conv_norm(channels, filters, 1, stride) if stride > 1 else []))
        self.end = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(x) + self.short(x))


def resnet20() -> Any:
    """ResNet-20 for images of 32x32 pixels, with 1x1 convolutions as shortcuts."""
    parts, channels = [*_conv_norm(3, 16, 3), nn.ReLU(inplace=True)], 16
    for stage in range(3):
        for place in range(3):
            filters = 16 << stage
            parts.append(_Residual(channels, filters, 2 if stage and not place else 1))
            channels = filters
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class _Inverted(nn.Module):  # type: ignore[misc,unused-ignore]
    def __init__(self, channels: int, filters: int, stride: int, factor: int) -> None:
        super().__init__()
        wide = channels * factor
        parts = [*_conv_norm(channels, wide), nn.ReLU6(inplace=True)] if factor > 1 else []
        parts += [*_conv_norm(wide, wide, 3, stride, wide), nn.ReLU6(inplace=True)]
        self.body = nn.Sequential(*parts, *_conv_norm(wide, filters))
        self.adds = stride == 1 and channels == filters

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


def mobilenet_v2() -> Any:
    """MobileNet v2, without dropout."""
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2)]
    parts, channels = [*_conv_norm(3, 32, 3, 2), nn.ReLU6(inplace=True)], 32
    for factor, filters, count, stride in [*plan, (6, 320, 1, 1)]:
        for place in range(count):
            parts.append(_Inverted(channels, filters, 1 if place else stride, factor))
            channels = filters
    parts += [*_conv_norm(320, 1280), nn.ReLU6(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(1280, 1000))


class _Same(nn.Module):  # type: ignore[misc,unused-ignore]
    """A 2x2 convolution that keeps the size: padded below and to the right."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(nn.functional.pad(x, (0, 1, 0, 1)))


def _double(channels: int, filters: int) -> Any:
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(filters, filters, 3, padding=1), nn.ReLU(inplace=True),
    )  # fmt: skip


class _UNet(nn.Module):  # type: ignore[misc,unused-ignore]
    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(zip((1, *widths[:-1]), widths, strict=True))
        self.down = nn.ModuleList(_double(channels, filters) for channels, filters in pairs)
        self.pool = nn.MaxPool2d(2)
        rising = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.rise = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), _Same(below, width)) for below, width in rising
        )
        self.join = nn.ModuleList(_double(2 * width, width) for _, width in rising)
        self.head = nn.Conv2d(widths[0], 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for place, down in enumerate(self.down):
            x = down(self.pool(x) if place else x)
            kept.append(x)
        for rise, join, skipped in zip(self.rise, self.join, kept[-2::-1], strict=True):
            x = join(torch.cat([skipped, rise(x)], 1))
        return self.head(x)


def unet() -> Any:
    """The U-Net with two poolings, enlarging by the nearest pixel and 2x2 convolutions."""
    return _UNet((64, 128, 256))


NETWORKS = {"lenet": lenet, "resnet20": resnet20, "mobilenet_v2": mobilenet_v2, "unet": unet}
