"""Blocks around a shortcut: those of residual networks, and inverted ones."""

from __future__ import annotations

from typing import Any

from fastconv.arguments import integer
from fastconv.nn.blocks.attention import SE, attention_of
from fastconv.nn.blocks.parts import StochasticDepth, conv_norm
from fastconv.nn.containers import Sequential, in_turn
from fastconv.nn.layers.conv import Conv2D
from fastconv.nn.layers.norm import BatchNorm2D
from fastconv.nn.module import Module
from fastconv.typing import ActivationLike


class _Shortcut(Module):
    """A body with a shortcut, which is a convolution where `project` is set."""

    def _add(self, filters: int, stride: int, project: bool | None, attention: str | None) -> None:
        """What comes after the body, under torchvision's names."""
        self.attention = attention_of(attention, filters)
        wanted = stride != 1 if project is None else project
        self.downsample = conv_norm(filters, 1, stride, activation=None) if wanted else None

    def _end(self, x: Any, y: Any, *last: Any) -> Any:
        """The block's result, from its input and what `last`, the end of the body, is called with."""
        short = x if self.downsample is None else self.downsample(x)
        more = () if self.attention is None else (self.attention,)
        return in_turn((*last, *more), y, short, "relu", "needs project=True")


class Residual(_Shortcut):
    """Two 3x3 convolutions and a shortcut: the block of ResNet-18 and 34. He et al., 2016.

    Parameters
    ----------
    filters : int
    stride : int
        Of the first convolution.
    project : bool, optional
        Whether the shortcut is a 1x1 convolution, as it has to be where sizes or channels change; by default where the
        stride is not 1.
    attention : {"se", "cbam", "eca", "spatial", "non_local"}, optional
        On the body's result.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.blocks.Residual(16, 2)(np.ones((1, 8, 8, 8))).shape
    (1, 16, 4, 4)
    """

    def __init__(
        self,
        filters: int,
        stride: int = 1,
        *,
        project: bool | None = None,
        attention: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        filters = integer("Residual", "filters", filters, 1)
        self.conv1 = Conv2D(filters, 3, stride, 1, bias=False)
        self.bn1 = BatchNorm2D()
        self.conv2 = Conv2D(filters, 3, 1, 1, bias=False)
        self.bn2 = BatchNorm2D()
        self._add(filters, stride, project, attention)

    def forward(self, x: Any) -> Any:
        y = in_turn((self.conv1, self.bn1), x, activation="relu")
        return self._end(x, y, self.conv2, self.bn2)


class Bottleneck(_Shortcut):
    """Convolutions of 1x1, 3x3 and 1x1 and a shortcut: the block of ResNet-50 and larger, and of ResNeXt.

    The stride is that of the 3x3 convolution, as in torchvision ("ResNet v1.5").

    Parameters
    ----------
    filters : int
        Of the result, four times those of ResNet's 3x3 convolution.
    stride : int
    inner : int, optional
        Filters of the 3x3 convolution; by default a quarter.
    groups, dilation : int
        Of the 3x3 convolution.
    project, attention
        As of `Residual`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.blocks.Bottleneck(16, 2)(np.ones((1, 8, 8, 8))).shape
    (1, 16, 4, 4)
    """

    def __init__(
        self,
        filters: int,
        stride: int = 1,
        *,
        inner: int | None = None,
        groups: int = 1,
        dilation: int = 1,
        project: bool | None = None,
        attention: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        filters = integer("Bottleneck", "filters", filters, 1)
        inner = max(1, filters // 4) if inner is None else inner
        self.conv1 = Conv2D(inner, 1, bias=False)
        self.bn1 = BatchNorm2D()
        self.conv2 = Conv2D(inner, 3, stride, dilation, dilation, groups, bias=False)
        self.bn2 = BatchNorm2D()
        self.conv3 = Conv2D(filters, 1, bias=False)
        self.bn3 = BatchNorm2D()
        self._add(filters, stride, project, attention)

    def forward(self, x: Any) -> Any:
        y = in_turn((self.conv1, self.bn1), x, activation="relu")
        y = in_turn((self.conv2, self.bn2), y, activation="relu")
        return self._end(x, y, self.conv3, self.bn3)


class InvertedResidual(Module):
    """A depthwise convolution between two of 1x1, the first of which adds channels: Sandler et al., 2018.

    With `squeezed` also that of MobileNetV3 and EfficientNet.

    Parameters
    ----------
    channels, filters : int
        Of the input and of the result; the input is added where both and both sizes are equal.
    stride : int
    expanded : int, optional
        Channels in between; by default six times `channels`.
    kernel_size : int
    activation : str
    squeezed : int, optional
        That of an `SE` after the depthwise convolution.
    gate : str
        Of the `SE`.
    squeeze_activation : str
        Of the `SE`.
    drop : float
        The rate of stochastic depth.
    eps, momentum : float
        Of batch normalisation.
    name : str
        The path of the body.
    flat : bool
        Whether the last convolution and its normalisation are parts of the body, as in torchvision's MobileNetV2, or
        of a part of their own.
    attention
        As of `Residual`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.blocks.InvertedResidual(8, 8)(np.ones((1, 8, 6, 6))).shape
    (1, 8, 6, 6)
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        stride: int = 1,
        expanded: int | None = None,
        kernel_size: int = 3,
        *,
        activation: ActivationLike = "relu6",
        squeezed: int | None = None,
        gate: str = "sigmoid",
        squeeze_activation: ActivationLike = "relu",
        drop: float = 0.0,
        eps: float = 1e-5,
        momentum: float = 0.1,
        name: str = "conv",
        flat: bool = True,
        attention: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        wide = 6 * channels if expanded is None else expanded
        norm: dict[str, Any] = {"eps": eps, "momentum": momentum}
        parts: list[Any] = []
        if wide != channels:
            parts.append(conv_norm(wide, activation=activation, **norm))
        parts.append(conv_norm(wide, kernel_size, stride, groups=wide, activation=activation, **norm))
        if squeezed is not None:
            parts.append(SE(wide, squeezed, activation=squeeze_activation, gate=gate))
        last = conv_norm(filters, activation=None, **norm)
        parts += [*last] if flat else [last]
        self.adds, self.name = stride == 1 and channels == filters, name
        self.__dict__[name] = Sequential(*parts)
        self.attention = attention_of(attention, filters)
        self.drop = StochasticDepth(drop) if drop else None

    def forward(self, x: Any) -> Any:
        body = self.__dict__[self.name]
        if not self.adds:
            return body(x) if self.attention is None else self.attention(body(x))
        if type(body) is Sequential and self.attention is None and self.drop is None:
            return in_turn(body, x, x)
        y = body(x)
        if self.attention is not None:
            y = self.attention(y)
        return x + (y if self.drop is None else self.drop(y))
