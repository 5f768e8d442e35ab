"""What most blocks are made of: a convolution, batch normalisation and an activation, under torchvision's names."""

from __future__ import annotations

from typing import Any

from fastconv.nn import functional as F
from fastconv.nn.containers import Sequential
from fastconv.nn.layers.conv import Conv2D
from fastconv.nn.layers.dense import Activation
from fastconv.nn.layers.norm import BatchNorm2D
from fastconv.nn.module import Module


def conv_norm(
    filters: int,
    kernel_size: Any = 1,
    stride: Any = 1,
    *,
    padding: Any = None,
    groups: int = 1,
    dilation: int = 1,
    activation: Any = "relu",
    eps: float = 1e-5,
    momentum: float = 0.1,
) -> Sequential:
    """A convolution without bias, batch normalisation, an activation; padded to keep the size."""
    if padding is None:
        sizes = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
        padding = tuple((size - 1) // 2 * dilation for size in sizes)
    parts: list[Any] = [
        Conv2D(filters, kernel_size, stride, padding, dilation, groups, bias=False),
        BatchNorm2D(momentum, eps),
    ]
    return Sequential(*parts, *([] if activation is None else [Activation(activation)]))


class StochasticDepth(Module):
    """In training, zeros in place of whole images at random: Huang et al., "Deep Networks with Stochastic Depth", 2016.

    Parameters
    ----------
    rate : float
    """

    shown = ("rate",)

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate = float(rate)
        if not 0 <= self.rate < 1:
            raise ValueError(f"StochasticDepth: rate is {rate}, but needs a number from 0 to below 1")

    def forward(self, x: Any) -> Any:
        return F.dropout(x, self.rate, (x.shape[0], *(1 for _ in x.shape[1:])))
