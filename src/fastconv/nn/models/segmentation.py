"""Networks that give images: U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastconv.nn import functional as F
from fastconv.nn.blocks.attention import attend
from fastconv.nn.containers import Sequential
from fastconv.nn.layers.conv import Conv2D, ConvTranspose2D
from fastconv.nn.layers.dense import Activation
from fastconv.nn.layers.norm import BatchNorm2D
from fastconv.nn.layers.pool import MaxPool2D, Upsample2D
from fastconv.nn.module import Module
from fastconv.typing import Layout

__all__ = ["UNet", "unet", "unet_small"]


def _double(filters: int, padding: Any, norm: bool, attention: str | None) -> Sequential:
    parts: list[Any] = []
    for _ in range(2):
        if norm:
            parts += [Conv2D(filters, 3, 1, padding, bias=False), BatchNorm2D(), Activation("relu")]
        else:
            parts.append(Conv2D(filters, 3, 1, padding, activation="relu"))
    named = {str(place): part for place, part in enumerate(parts)}
    attend(named, attention, filters)
    return Sequential(named)


class UNet(Module):
    """A U-Net: Ronneberger et al., "U-Net", 2015.

    Parameters
    ----------
    num_classes : int
    widths : sequence of int
        Channels of each level, from the finest on.
    padding : "same" or "valid"
        As "valid", as in the paper, the result is smaller than the input, and skipped features are cropped.
    up : {"transposed", "upsample"}
        2x2 transposed convolutions of stride 2, or enlarging by the nearest pixel and a 2x2 convolution.
    norm : bool
        Whether batch normalisation follows the convolutions.
    attention : {"se", "cbam", "eca", "spatial", "non_local"}, optional
        Behind every two convolutions.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.models.UNet(2, (8, 16, 32))(np.ones((1, 1, 32, 32))).shape
    (1, 2, 32, 32)
    """

    shown = ("num_classes", "widths", "padding", "up", "norm")

    def __init__(
        self,
        num_classes: int = 2,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        *,
        padding: str = "same",
        up: str = "transposed",
        norm: bool = False,
        attention: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if padding not in ("same", "valid") or up not in ("transposed", "upsample"):
            raise ValueError(
                f"UNet: padding is {padding!r} and up {up!r}, but they need to be 'same' or 'valid', and 'transposed' "
                "or 'upsample'"
            )
        if not widths:
            raise ValueError("UNet: widths is empty, but needs the channels of each level")
        self.num_classes, self.widths, self.padding = num_classes, tuple(widths), padding
        self.up, self.norm = up, norm
        self.down = [_double(width, padding, norm, attention) for width in widths]
        self.pool = MaxPool2D(2)
        rising = list(widths[-2::-1])
        if up == "transposed":
            self.rise: list[Any] = [ConvTranspose2D(width, 2, 2) for width in rising]
        else:
            self.rise = [Sequential(Upsample2D(2), Conv2D(width, 2, padding="same")) for width in rising]
        self.join = [_double(width, padding, norm, attention) for width in rising]
        self.head = Conv2D(num_classes, 1)

    def forward(self, x: Any) -> Any:
        last = F.channel_axis(4) == 3
        size = x.shape[1:3] if last else x.shape[2:4]
        steps = 2 ** (len(self.widths) - 1)
        if self.padding == "same" and any(length % steps for length in size):
            raise ValueError(f"x has {size[0]}x{size[1]} pixels, but needs multiples of {steps}")
        kept = []
        for place, down in enumerate(self.down):
            x = down(x if place == 0 else self.pool(x))
            kept.append(x)
        for rise, join, skipped in zip(self.rise, self.join, kept[-2::-1], strict=True):
            x = rise(x)
            x = join(F.concatenate([_cropped(skipped, x, last), x]))
        return self.head(x)


def _cropped(x: Any, like: Any, last: bool) -> Any:
    """The middle of an image, of the size of another."""
    axes = (1, 2) if last else (2, 3)
    index: list[Any] = [slice(None)] * 4
    for axis in axes:
        more = x.shape[axis] - like.shape[axis]
        index[axis] = slice(more // 2, more // 2 + like.shape[axis]) if more else slice(None)
    return x if all(part == slice(None) for part in index) else x[tuple(index)]


def unet(num_classes: int = 2, *, attention: str | None = None, layout: Layout | None = None) -> UNet:
    """The U-Net of the paper: five levels, no padding; 572x572 pixels give 388x388.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> summary = nn.models.unet().summary((1, 1, 572, 572))
    >>> f"{summary.parameters:,}", summary.rows[-1].output
    ('31,030,658', (1, 2, 388, 388))
    """
    return UNet(num_classes, padding="valid", attention=attention, layout=layout)


def unet_small(num_classes: int = 1, *, attention: str | None = None, layout: Layout | None = None) -> UNet:
    """A U-Net with two poolings, (64, 128, 256) channels, enlarging and 2x2 convolutions.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> nn.models.unet_small().summary((1, 1, 64, 64)).rows[-1].output
    (1, 1, 64, 64)
    """
    return UNet(num_classes, (64, 128, 256), up="upsample", attention=attention, layout=layout)
