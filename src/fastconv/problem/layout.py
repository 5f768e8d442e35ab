"""The two layouts: which axis of an array holds what. Nothing else compares a layout's name.

A batch of images is ``(N, C, H, W)`` or ``(N, H, W, C)``, an image the same without `N`; weights are
``(outer, inner, kH, kW)`` or ``(kH, kW, inner, outer)``.
"""

from __future__ import annotations

from typing import NamedTuple, get_args

from fastconv.arguments import Pair, choice
from fastconv.text import echo
from fastconv.typing import Layout

LAYOUTS: tuple[Layout, ...] = get_args(Layout)

Shape = tuple[int, int, int, int]


class Kind(NamedTuple):
    """What decides how the axes of a weight are to be read."""

    layout: Layout = "NCHW"
    depthwise: bool = False
    transposed: bool = False


def check_layout(op: str, layout: object) -> Layout:
    return choice(op, "layout", layout, LAYOUTS)


def other_layout(layout: Layout) -> Layout:
    return "NCHW" if channels_last(layout) else "NHWC"


def channels_last(layout: Layout) -> bool:
    return layout == "NHWC"


def channel_axis(layout: Layout) -> int:
    """The axis of the channels, counted from the end: it is that of a batch as of an image."""
    return -1 if channels_last(layout) else -3


def spatial_axes(layout: Layout) -> Pair:
    """The axes of height and width, counted from the end: they are those of a batch as of an image."""
    return (-3, -2) if channels_last(layout) else (-2, -1)


def plane_size(shape: tuple[int, ...], layout: Layout) -> Pair:
    """Height and width of an array of this shape."""
    rows, columns = spatial_axes(layout)
    return shape[rows], shape[columns]


def image_sizes(shape: tuple[int, ...], layout: Layout) -> tuple[int, int, Pair]:
    """Batch, channels, and height and width of a batch of this shape."""
    return shape[0], shape[channel_axis(layout)], plane_size(shape, layout)


def batch_shape(layout: Layout, batch: int, channels: int, size: Pair) -> Shape:
    return (batch, *size, channels) if channels_last(layout) else (batch, channels, *size)


def layout_in_memory(layout: Layout, *channels: int) -> Layout:
    """The layout for arrays of so many channels each: those of one channel are the same memory in both."""
    return "NCHW" if set(channels) == {1} else layout


def weight_shape(layout: Layout, outer: int, inner: int, kernel: Pair) -> Shape:
    return (*kernel, inner, outer) if channels_last(layout) else (outer, inner, *kernel)


def weight_sizes(shape: tuple[int, ...], layout: Layout) -> tuple[int, int, Pair]:
    """Outer and inner channels and the kernel's size of a weight of this shape."""
    if channels_last(layout):
        height, width, inner, outer = shape
    else:
        outer, inner, height, width = shape
    return outer, inner, (height, width)


def check_image(op: str, name: str, shape: tuple[int, ...], layout: Layout) -> bool:
    """Whether an array of this shape is a batch of images; refuses what is neither a batch nor an image."""
    if len(shape) not in (3, 4):
        expected = f"({', '.join(layout)}) or unbatched ({', '.join(layout[1:])})"
        hint = ""
        if len(shape) == 2 and not name.endswith("_size"):
            one = f"{name}[..., None]" if channels_last(layout) else f"{name}[None]"
            hint = f"; {one} is an image of one channel, and fastconv.ndimage filters arrays as they are"
        raise ValueError(
            f"{op}: {name} has {len(shape)} dimensions (shape {echo(shape)}), but needs {expected}{hint}"
        )
    if 0 in shape[-3:]:
        raise ValueError(f"{op}: {name} has shape {shape}: only the batch may be empty")
    return len(shape) == 4
