"""Networks of residual blocks: ResNet, ResNeXt, and those that segment with them."""

from __future__ import annotations

from typing import Any

from fastconv.nn import functional as F
from fastconv.nn.blocks.branches import ASPP
from fastconv.nn.blocks.parts import conv_norm
from fastconv.nn.blocks.residual import Bottleneck, Residual
from fastconv.nn.containers import Sequential
from fastconv.nn.layers.conv import Conv2D
from fastconv.nn.layers.dense import Activation, Dense
from fastconv.nn.layers.norm import BatchNorm2D, Dropout
from fastconv.nn.layers.pool import GlobalAvgPool2D, MaxPool2D
from fastconv.nn.module import Module
from fastconv.typing import Layout

__all__ = [
    "deeplabv3_resnet50",
    "eight_residuals",
    "fcn_resnet50",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
]


def _stages(
    block: str, depths: tuple[int, ...], attention: str | None, groups: int, width: int, dilated: bool
) -> dict[str, Any]:
    """The stem and four stages, under torchvision's names; `dilated`: the last two keep the size."""
    stages: dict[str, Any] = {
        "conv1": Conv2D(64, 7, 2, 3, bias=False),
        "bn1": BatchNorm2D(),
        "relu": Activation("relu"),
        "maxpool": MaxPool2D(3, 2, 1),
    }
    dilation = 1
    for stage, depth in enumerate(depths):
        stride, before = 1 if stage == 0 else 2, dilation
        if dilated and stage > 1:
            dilation, stride = dilation * 2, 1
        blocks: list[Any] = []
        for place in range(depth):
            first = place == 0
            step = stride if first else 1
            if block == "basic":
                blocks.append(Residual(64 << stage, step, project=first and stage > 0, attention=attention))
            else:
                blocks.append(
                    Bottleneck(
                        256 << stage,
                        step,
                        inner=(width << stage) * groups,
                        groups=groups,
                        dilation=before if first else dilation,
                        project=first,
                        attention=attention,
                    )
                )
        stages[f"layer{stage + 1}"] = Sequential(*blocks)
    return stages


def _resnet(
    block: str,
    depths: tuple[int, ...],
    num_classes: int,
    attention: str | None,
    layout: Layout | None,
    groups: int = 1,
    width: int = 64,
) -> Sequential:
    parts = _stages(block, depths, attention, groups, width, dilated=False)
    ends = {"avgpool": GlobalAvgPool2D(keepdims=False), "fc": Dense(num_classes)}
    return Sequential(parts | ends, layout=layout)


def resnet18(
    num_classes: int = 1000, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """ResNet-18: He et al., "Deep Residual Learning for Image Recognition", 2016.

    Parameters
    ----------
    num_classes : int
    attention : {"se", "cbam", "eca", "spatial", "non_local"}, optional
        In every block.
    layout : {"NCHW", "NHWC"}, optional

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.resnet18().summary((1, 3, 224, 224)).parameters:,}"
    '11,689,512'
    """
    return _resnet("basic", (2, 2, 2, 2), num_classes, attention, layout)


def resnet34(
    num_classes: int = 1000, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """ResNet-34; see `resnet18`."""
    return _resnet("basic", (3, 4, 6, 3), num_classes, attention, layout)


def resnet50(
    num_classes: int = 1000, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """ResNet-50; see `resnet18`."""
    return _resnet("bottleneck", (3, 4, 6, 3), num_classes, attention, layout)


def resnet101(
    num_classes: int = 1000, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """ResNet-101; see `resnet18`."""
    return _resnet("bottleneck", (3, 4, 23, 3), num_classes, attention, layout)


def resnet152(
    num_classes: int = 1000, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """ResNet-152; see `resnet18`."""
    return _resnet("bottleneck", (3, 8, 36, 3), num_classes, attention, layout)


def resnext50_32x4d(
    num_classes: int = 1000, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """ResNeXt-50 with 32 groups of 4 channels: Xie et al., "Aggregated Residual Transformations", 2017."""
    return _resnet("bottleneck", (3, 4, 6, 3), num_classes, attention, layout, groups=32, width=4)


def resnet20(
    num_classes: int = 10, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """ResNet-20 for small images: He et al., 2016, section 4.2, with 1x1 convolutions as shortcuts.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.models.resnet20()(np.ones((1, 3, 32, 32))).shape
    (1, 10)
    """
    return _small_images(16, (3, 3, 3), num_classes, attention, layout)


def eight_residuals(
    num_classes: int = 10, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """Eight residual blocks of (64, 128, 256) channels for small images, as notes on the subject build it.

    Two, three and three blocks, the first of each later three with the stride 2.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> summary = nn.models.eight_residuals().summary((1, 3, 32, 32))
    >>> sum(row.kind == "Residual" for row in summary.rows), f"{summary.parameters:,}"
    (8, '4,253,770')
    """
    return _small_images(64, (2, 3, 3), num_classes, attention, layout)


def _small_images(
    first: int, depths: tuple[int, ...], num_classes: int, attention: str | None, layout: Layout | None
) -> Sequential:
    """Stages of blocks at full size, a half and a quarter, each with twice the channels of the last."""
    parts: list[Any] = [conv_norm(first, 3)]
    for stage, depth in enumerate(depths):
        for place in range(depth):
            step = 2 if stage and not place else 1
            parts.append(Residual(first << stage, step, attention=attention))
    return Sequential(*parts, GlobalAvgPool2D(keepdims=False), Dense(num_classes), layout=layout)


class Segmenter(Module):
    """A body that gives a small image of features, and a head that gives classes, enlarged to the input's size.

    Parameters
    ----------
    backbone, classifier : Module

    Returns what its torchvision counterparts have as ``out``.
    """

    def __init__(self, backbone: Module, classifier: Module, **options: Any) -> None:
        super().__init__(**options)
        self.backbone, self.classifier = backbone, classifier

    def forward(self, x: Any) -> Any:
        size = x.shape[1:3] if F.channel_axis(4) == 3 else x.shape[2:4]
        return F.resize2d(self.classifier(self.backbone(x)), size, mode="linear")


def _dilated_resnet50(attention: str | None) -> Sequential:
    return Sequential(_stages("bottleneck", (3, 4, 6, 3), attention, 1, 64, dilated=True))


def fcn_resnet50(
    num_classes: int = 21, *, attention: str | None = None, layout: Layout | None = None
) -> Segmenter:
    """FCN on a dilated ResNet-50: Long et al., "Fully Convolutional Networks", 2015, as torchvision has it."""
    conv, norm, activation = conv_norm(512, 3)
    head = Sequential(conv, norm, activation, Dropout(0.1), Conv2D(num_classes, 1))
    return Segmenter(_dilated_resnet50(attention), head, layout=layout)


def deeplabv3_resnet50(
    num_classes: int = 21, *, attention: str | None = None, layout: Layout | None = None
) -> Segmenter:
    """DeepLabV3 on a dilated ResNet-50: Chen et al., 2017, as torchvision has it."""
    conv, norm, activation = conv_norm(256, 3)
    head = Sequential(ASPP(), conv, norm, activation, Conv2D(num_classes, 1))
    return Segmenter(_dilated_resnet50(attention), head, layout=layout)
