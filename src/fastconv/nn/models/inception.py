"""Inception-v3 and Xception."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastconv.nn import functional as F
from fastconv.nn.blocks.attention import attend, attention_of
from fastconv.nn.blocks.branches import named_conv
from fastconv.nn.blocks.parts import conv_norm
from fastconv.nn.containers import Residual, Sequential
from fastconv.nn.layers.dense import Activation, Dense
from fastconv.nn.layers.norm import BatchNorm2D, Dropout
from fastconv.nn.layers.pool import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from fastconv.nn.layers.several_conv import SeparableConv2D
from fastconv.nn.module import Module
from fastconv.typing import Layout

__all__ = ["inception_v3", "xception"]


class Mixed(Module):
    """Branches side by side, each a chain of convolutions: the modules of Inception-v3. Szegedy et al., 2016.

    Parameters
    ----------
    branches : sequence of dict
        Each the convolutions of one branch by their names: filters, kernel, and where they are not 1 and such that the
        size stays, stride and padding. Names that end with ``a`` and ``b`` see the same and are joined. A name
        ``mean`` or ``max`` stands for a pooling.
    """

    def __init__(self, branches: Sequence[Mapping[str, Any]], **options: Any) -> None:
        super().__init__(**options)
        self.branches = tuple(tuple(branch) for branch in branches)
        for branch in branches:
            for name, made in branch.items():
                if name == "mean":
                    self.mean: Module = AvgPool2D(3, 1, 1)
                elif name == "max":
                    self.max: Module = MaxPool2D(3, 2)
                else:
                    self.__dict__[name] = named_conv(*made)

    def forward(self, x: Any) -> Any:
        results = []
        for branch in self.branches:
            y, before = x, x
            for name in branch:
                if name.endswith("b"):
                    results.append(y)
                    y = self.__dict__[name](before)
                else:
                    before = y
                    y = self.__dict__[name](y)
            results.append(y)
        return F.concatenate(results)


def _wide(filters: int) -> tuple[Any, ...]:
    return filters, (1, 7), 1, (0, 3)


def _high(filters: int) -> tuple[Any, ...]:
    return filters, (7, 1), 1, (3, 0)


def _small(pooled: int) -> Mixed:
    return Mixed(
        [
            {"branch1x1": (64,)},
            {"branch5x5_1": (48,), "branch5x5_2": (64, 5)},
            {"branch3x3dbl_1": (64,), "branch3x3dbl_2": (96, 3), "branch3x3dbl_3": (96, 3)},
            {"mean": (), "branch_pool": (pooled,)},
        ]
    )


def _middle(inner: int) -> Mixed:
    double = {
        "branch7x7dbl_1": (inner,),
        "branch7x7dbl_2": _high(inner),
        "branch7x7dbl_3": _wide(inner),
        "branch7x7dbl_4": _high(inner),
        "branch7x7dbl_5": _wide(192),
    }
    return Mixed(
        [
            {"branch1x1": (192,)},
            {"branch7x7_1": (inner,), "branch7x7_2": _wide(inner), "branch7x7_3": _high(192)},
            double,
            {"mean": (), "branch_pool": (192,)},
        ]
    )


def _large() -> Mixed:
    ends = (384, (1, 3), 1, (0, 1)), (384, (3, 1), 1, (1, 0))
    return Mixed(
        [
            {"branch1x1": (320,)},
            {"branch3x3_1": (384,), "branch3x3_2a": ends[0], "branch3x3_2b": ends[1]},
            {
                "branch3x3dbl_1": (448,),
                "branch3x3dbl_2": (384, 3),
                "branch3x3dbl_3a": ends[0],
                "branch3x3dbl_3b": ends[1],
            },
            {"mean": (), "branch_pool": (192,)},
        ]
    )


def inception_v3(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    attention: str | None = None,
    layout: Layout | None = None,
) -> Sequential:
    """Inception-v3 without the auxiliary head, for images of 299x299 pixels: Szegedy et al., 2016.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.inception_v3().summary((1, 3, 299, 299)).parameters:,}"
    '23,834,568'
    """
    shrink = {"branch3x3dbl_1": (64,), "branch3x3dbl_2": (96, 3), "branch3x3dbl_3": (96, 3, 2, 0)}
    again = {
        "branch7x7x3_1": (192,),
        "branch7x7x3_2": _wide(192),
        "branch7x7x3_3": _high(192),
        "branch7x7x3_4": (192, 3, 2, 0),
    }
    mixed = {
        "5b": (_small(32), 256),
        "5c": (_small(64), 288),
        "5d": (_small(64), 288),
        "6a": (Mixed([{"branch3x3": (384, 3, 2, 0)}, shrink, {"max": ()}]), 768),
        "6b": (_middle(128), 768),
        "6c": (_middle(160), 768),
        "6d": (_middle(160), 768),
        "6e": (_middle(192), 768),
        "7a": (Mixed([{"branch3x3_1": (192,), "branch3x3_2": (320, 3, 2, 0)}, again, {"max": ()}]), 1280),
        "7b": (_large(), 2048),
        "7c": (_large(), 2048),
    }
    parts: dict[str, Any] = {
        "Conv2d_1a_3x3": named_conv(32, 3, 2, 0),
        "Conv2d_2a_3x3": named_conv(32, 3, 1, 0),
        "Conv2d_2b_3x3": named_conv(64, 3),
        "maxpool1": MaxPool2D(3, 2),
        "Conv2d_3b_1x1": named_conv(80),
        "Conv2d_4a_3x3": named_conv(192, 3, 1, 0),
        "maxpool2": MaxPool2D(3, 2),
    }
    for name, (module, channels) in mixed.items():
        parts[f"Mixed_{name}"] = module
        attend(parts, attention, channels)
    parts |= {
        "avgpool": GlobalAvgPool2D(keepdims=False),
        "dropout": Dropout(dropout),
        "fc": Dense(num_classes),
    }
    return Sequential(parts, layout=layout)


def _separable(filters: int) -> list[Module]:
    return [SeparableConv2D(filters, 3, padding=1, bias=False), BatchNorm2D(0.01, 1e-3)]


def xception(
    num_classes: int = 1000, *, attention: str | None = None, layout: Layout | None = None
) -> Sequential:
    """Xception, for images of 299x299 pixels: Chollet, 2017, as Keras has it, whose weights
    `nn.from_keras_weights` takes.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> f"{nn.models.xception().summary((1, 3, 299, 299)).parameters:,}"
    '22,855,952'
    """
    norm: dict[str, Any] = {"eps": 1e-3, "momentum": 0.01}

    def attended(filters: int) -> list[Module]:
        block = attention_of(attention, filters)
        return [] if block is None else [block]

    parts: list[Any] = [conv_norm(32, 3, 2, padding=0, **norm), conv_norm(64, 3, padding=0, **norm)]
    for place, filters in enumerate((128, 256, 728)):
        body = [*_separable(filters), Activation("relu"), *_separable(filters), MaxPool2D(3, 2, "same")]
        first = [Activation("relu")] if place else []
        shortcut = conv_norm(filters, 1, 2, activation=None, **norm)
        parts.append(Residual(*first, *body, *attended(filters), shortcut=shortcut))
    for _ in range(8):
        steps = [[Activation("relu"), *_separable(728)] for _ in range(3)]
        parts.append(Residual(*(part for step in steps for part in step), *attended(728)))
    body = [
        Activation("relu"),
        *_separable(728),
        Activation("relu"),
        *_separable(1024),
        MaxPool2D(3, 2, "same"),
    ]
    parts.append(Residual(*body, *attended(1024), shortcut=conv_norm(1024, 1, 2, activation=None, **norm)))
    parts += [*_separable(1536), Activation("relu"), *_separable(2048), Activation("relu")]
    return Sequential(*parts, GlobalAvgPool2D(keepdims=False), Dense(num_classes), layout=layout)
