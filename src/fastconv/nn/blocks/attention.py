"""Blocks that weigh channels or places: squeeze-and-excite, CBAM, ECA, non-local."""

from __future__ import annotations

import math
from typing import Any

from fastconv.arguments import integer
from fastconv.nn import functional as F
from fastconv.nn.layers.conv import Conv1D, Conv2D
from fastconv.nn.layers.norm import BatchNorm2D
from fastconv.nn.module import Module
from fastconv.nn.operations.pool import GLOBAL_MAX_POOL2D
from fastconv.nn.scope import SCOPE
from fastconv.typing import ActivationLike


class SE(Module):
    """Squeeze-and-excite: channels times a number between 0 and 1 that all of them decide. Hu et al., 2018.

    Parameters
    ----------
    channels : int
        Of the input.
    squeezed : int, optional
        How many there are in between; by default a sixteenth.
    activation : str
        In between.
    gate : {"sigmoid", "hardsigmoid"}

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.blocks.SE(16, 4)(np.ones((1, 16, 8, 8))).shape
    (1, 16, 8, 8)
    """

    def __init__(
        self,
        channels: int,
        squeezed: int | None = None,
        *,
        activation: ActivationLike = "relu",
        gate: str = "sigmoid",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if gate not in ("sigmoid", "hardsigmoid"):
            raise ValueError(f"SE: gate is {gate!r}, but needs to be 'sigmoid' or 'hardsigmoid'")
        channels = integer("SE", "channels", channels, 1)
        self.gate = gate
        self.fc1 = Conv2D(squeezed or max(1, channels // 16), 1, activation=activation)
        self.fc2 = Conv2D(channels, 1)

    def forward(self, x: Any) -> Any:
        weight = self.fc2(self.fc1(F.global_avg_pool2d(x)))
        if self.gate == "sigmoid":
            return x * F.sigmoid(weight)
        return x * (F.activation(weight + 3.0, "relu6") * (1 / 6))


class SpatialAttention(Module):
    """Places times a number between 0 and 1, from the mean and the maximum of their channels: the second half of CBAM.

    Parameters
    ----------
    kernel_size : int

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.blocks.SpatialAttention()(np.ones((1, 16, 8, 8))).shape
    (1, 16, 8, 8)
    """

    shown = ("kernel_size",)

    def __init__(self, kernel_size: int = 7, **options: Any) -> None:
        super().__init__(**options)
        self.kernel_size = integer("SpatialAttention", "kernel_size", kernel_size, 1)
        self.conv = Conv2D(1, self.kernel_size, padding="same", bias=False, activation="sigmoid")

    def forward(self, x: Any) -> Any:
        axis = F.channel_axis(4)
        seen = [F.mean(x, axis=axis, keepdims=True), F.maximum(x, axis=axis, keepdims=True)]
        return x * self.conv(F.concatenate(seen))


class CBAM(Module):
    """Channels, and then places, times numbers between 0 and 1: Woo et al., "CBAM", 2018.

    Parameters
    ----------
    channels : int
        Of the input.
    reduction : int
    kernel_size : int
        Of `SpatialAttention`.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.blocks.CBAM(32)(np.ones((1, 32, 8, 8))).shape
    (1, 32, 8, 8)
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7, **options: Any) -> None:
        super().__init__(**options)
        channels = integer("CBAM", "channels", channels, 1)
        self.fc1 = Conv2D(
            max(1, channels // integer("CBAM", "reduction", reduction, 1)), 1, activation="relu"
        )
        self.fc2 = Conv2D(channels, 1)
        self.spatial = SpatialAttention(kernel_size)

    def forward(self, x: Any) -> Any:
        means, most = F.global_avg_pool2d(x), GLOBAL_MAX_POOL2D(x, keepdims=True, layout=SCOPE.layout)
        weight = self.fc2(self.fc1(means)) + self.fc2(self.fc1(most))
        return self.spatial(x * F.sigmoid(weight))


class ECA(Module):
    """Channels times numbers between 0 and 1 that their neighbours decide: Wang et al., "ECA-Net", 2020.

    Parameters
    ----------
    channels : int
        Of the input; decides the kernel's size, as the paper has it.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> layer = nn.blocks.ECA(64)
    >>> layer(np.ones((1, 64, 8, 8))).shape, layer.conv.kernel_size
    ((1, 64, 8, 8), 3)
    """

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(**options)
        size = int(abs((math.log2(integer("ECA", "channels", channels, 1)) + 1) / 2))
        self.conv = Conv1D(1, size + 1 - size % 2, padding="same", bias=False)

    def forward(self, x: Any) -> Any:
        rows = F.flatten(F.global_avg_pool2d(x))
        count = rows.shape[1]
        last = F.channel_axis(4) == 3
        weight = F.sigmoid(self.conv(rows.reshape((-1, count, 1) if last else (-1, 1, count))))
        return x * weight.reshape((-1, 1, 1, count) if last else (-1, count, 1, 1))


class NonLocal(Module):
    """``x`` and what all other places say, weighed by likeness: Wang et al., "Non-local Neural Networks", 2018.

    Parameters
    ----------
    channels : int
        Of the input.
    inner : int, optional
        In between; by default half of them.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.blocks.NonLocal(8)(np.ones((1, 8, 6, 6))).shape
    (1, 8, 6, 6)
    """

    def __init__(self, channels: int, inner: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        channels = integer("NonLocal", "channels", channels, 1)
        inner = inner or max(1, channels // 2)
        self.theta, self.phi, self.g = (Conv2D(inner, 1) for _ in range(3))
        self.out = Conv2D(channels, 1, bias=False)
        self.norm = BatchNorm2D()

    def forward(self, x: Any) -> Any:
        last = F.channel_axis(4) == 3
        height, width = x.shape[1:3] if last else x.shape[2:4]

        def places(y: Any) -> Any:
            """(N, places, channels)."""
            if last:
                return y.reshape((-1, height * width, y.shape[3]))
            return y.reshape((-1, y.shape[1], height * width)).transpose(0, 2, 1)

        theta, phi, g = places(self.theta(x)), places(self.phi(x)), places(self.g(x))
        y = F.softmax(theta @ phi.transpose(0, 2, 1)) @ g
        count = y.shape[2]
        if last:
            image = y.reshape((-1, height, width, count))
        else:
            image = y.transpose(0, 2, 1).reshape((-1, count, height, width))
        return x + self.norm(self.out(image))


def attend(parts: dict[str, Any], name: str | None, channels: int) -> None:
    """Put the block that a word means behind the last of some parts, whose paths stay as they are."""
    block = attention_of(name, channels)
    if block is not None:
        parts[f"{[*parts][-1]}_attention"] = block


def attention_of(name: str | None, channels: int) -> Module | None:
    """The block that a word means: se, cbam, eca, spatial or non_local."""
    if name is None:
        return None
    if name not in _NAMED:
        raise ValueError(f"attention is {name!r}, but needs to be one of {', '.join(map(repr, _NAMED))}")
    block: Module = _NAMED[name](channels)
    return block


_NAMED: dict[str, Any] = {
    "se": SE,
    "cbam": CBAM,
    "eca": ECA,
    "spatial": lambda channels: SpatialAttention(),
    "non_local": NonLocal,
}
