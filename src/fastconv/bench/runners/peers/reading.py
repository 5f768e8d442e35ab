"""What a layer asks for, in the form that other libraries take: numbers for both axes instead of words and defaults.

Called by the peers. None is returned for what only fastconv does, such as activations and padding modes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastconv import arguments
from fastconv.arguments import Pair
from fastconv.bench.layers.layer import Layer
from fastconv.geometry import same_padding
from fastconv.problem import options as opt
from fastconv.typing import Array

CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "conv_transpose2d")
POOLINGS = ("max_pool2d", "avg_pool2d")
GLOBAL = ("global_max_pool2d", "global_avg_pool2d")


@dataclass(frozen=True)
class LayerWindows:
    """Where the kernels or the windows of a layer lie."""

    kernel: Pair
    stride: Pair
    pads: tuple[Pair, Pair]  # (top, bottom), (left, right)
    dilation: Pair
    groups: int
    output_padding: Pair
    transposed: bool

    @property
    def symmetric(self) -> Pair | None:
        """The padding along both axes, where it is the same on both sides."""
        (top, bottom), (left, right) = self.pads
        return (top, left) if (top, left) == (bottom, right) else None

    @property
    def onnx_pads(self) -> list[int]:
        """As ONNX orders them."""
        (top, bottom), (left, right) = self.pads
        return [top, left, bottom, right]


def convolution(layer: Layer) -> LayerWindows | None:
    """The windows of a convolution or transposed convolution."""
    known = {"stride", "padding", "dilation", "groups", "output_padding"}
    if layer.operation not in CONVOLUTIONS or set(layer.options) - known:
        return None
    groups = layer.shapes["x"][1] if layer.operation == "depthwise_conv2d" else layer.options.get("groups", 1)
    return _windows(layer, layer.shapes["weight"][2:], 1, groups)


def pooling(layer: Layer, *others: str) -> LayerWindows | None:
    """The windows of a pooling; `others` are options besides theirs that the caller knows."""
    known = {"kernel_size", "stride", "padding", "dilation", *others}
    if layer.operation not in POOLINGS or set(layer.options) - known:
        return None
    kernel = layer.options["kernel_size"]
    return _windows(layer, kernel, kernel)


def _windows(layer: Layer, kernel_size: Any, default_stride: Any, groups: int = 1) -> LayerWindows | None:
    def pair(name: str, default: Any) -> Pair:
        value = layer.options.get(name)
        return arguments.pair(layer.operation, name, default if value is None else value, 0)

    kernel = arguments.pair(layer.operation, "kernel_size", kernel_size, 1)
    stride, dilation = pair("stride", default_stride), pair("dilation", 1)
    transposed = layer.operation == "conv_transpose2d"
    pads = opt.padding(layer.operation, layer.options.get("padding", 0))
    if isinstance(pads, str) and transposed:
        return None
    if pads == "same":
        height, width = layer.shapes["x"][2:]
        sides = same_padding((height, width), kernel, stride, dilation)
    elif isinstance(pads, str):
        vertical, horizontal = (
            d * (k - 1) if pads == "full" else 0 for k, d in zip(kernel, dilation, strict=True)
        )
        sides = (vertical, vertical), (horizontal, horizontal)
    else:
        sides = pads[:2], pads[2:]
    return LayerWindows(kernel, stride, sides, dilation, groups, pair("output_padding", 0), transposed)


class Window(NamedTuple):
    """An image, and the window that slides over it without changing its size, as libraries for images know them."""

    planes: Array  # (channels, height, width)
    size: Pair
    largest: bool  # the maximum of the window, or else the mean, with zeros around the image


def image_window(layer: Layer, arrays: Mapping[str, Array]) -> Window | None:
    """A pooling of one image with stride 1."""
    windows = pooling(layer)
    if windows is None or layer.batch != 1 or any(size % 2 == 0 for size in windows.kernel):
        return None
    wanted = tuple((size // 2, size // 2) for size in windows.kernel)
    if (windows.stride, windows.dilation, windows.pads) != ((1, 1), (1, 1), wanted):
        return None
    return Window(arrays["x"][0], windows.kernel, layer.operation == "max_pool2d")


class Filter(NamedTuple):
    """An image and its filters, as libraries for images know them: kernels of odd size, zeros around the image."""

    planes: Array  # (channels, height, width)
    kernels: Array  # (channels, height, width)
    same: bool  # whether all kernels are equal


def image_filter(layer: Layer, arrays: Mapping[str, Array]) -> Filter | None:
    """A depthwise convolution of one image that keeps its size, one filter for a channel."""
    windows = convolution(layer)
    if windows is None or windows.transposed or "bias" in arrays or layer.batch != 1:
        return None
    plane, kernels = arrays["x"][0], arrays["weight"]
    wanted = tuple((size // 2, size // 2) for size in windows.kernel)
    if (windows.stride, windows.dilation, windows.pads) != ((1, 1), (1, 1), wanted):
        return None
    if not windows.groups == len(plane) == len(kernels) or any(size % 2 == 0 for size in windows.kernel):
        return None
    kernels = kernels[:, 0]
    return Filter(plane, kernels, bool(np.all(kernels == kernels[0])))
