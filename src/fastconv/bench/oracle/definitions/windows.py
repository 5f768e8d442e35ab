"""Where kernels and windows lie: the formulas of sizes, padding and reach, axis by axis.

They are written from the contract alone and know nothing of `fastconv.geometry`, which the tests compare with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv.bench.oracle.definitions.common import Array, Indices

Pair = tuple[int, int]
Sides = tuple[Pair, Pair]


def pair(value: Any) -> Any:
    """One number for both axes, or a pair of them."""
    return value if isinstance(value, tuple) else (value, value)


def effective(kernel: int, dilation: int) -> int:
    """Extent of a dilated kernel."""
    return dilation * (kernel - 1) + 1


def sides(padding: Any, size: Any, kernel: Any, stride: Any = 1, dilation: Any = 1) -> Sides:
    """((top, bottom), (left, right)) of a padding argument, for an image, kernel, stride and dilation."""
    if isinstance(padding, str):
        axes = zip(size, pair(kernel), pair(stride), pair(dilation), strict=True)
        rows, columns = (_named(padding, *axis) for axis in axes)
    else:
        rows, columns = map(pair, pair(padding))
    return rows, columns


def _named(name: str, size: int, kernel: int, stride: int, dilation: int) -> Pair:
    extent = effective(kernel, dilation)
    if name == "valid":
        return 0, 0
    if name == "full":
        return extent - 1, extent - 1
    if name != "same":
        raise ValueError(f"padding is {name!r}, which has no definition")
    total = max((math.ceil(size / stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def source(position: Indices, size: int, mode: str = "zeros") -> Indices:
    """Which pixel of 0 ... size - 1 stands at a position of the padded axis; outside of these for the fill value."""
    if mode in ("zeros", "constant"):
        return position
    if mode == "replicate":
        return position.clip(0, size - 1)
    if mode == "circular":
        return position % size
    if mode == "symmetric":
        folded = position % (2 * size)
        return np.minimum(folded, 2 * size - 1 - folded)
    if mode != "reflect":
        raise ValueError(f"padding mode is {mode!r}, which has no definition")
    if size == 1:
        return np.zeros_like(position)
    folded = position % (2 * (size - 1))
    return np.minimum(folded, 2 * (size - 1) - folded)


@dataclass(frozen=True)
class Axis:
    """One axis of a convolution's image, with padding before the first pixel and after the last."""

    size: int
    kernel: int
    stride: int
    before: int
    after: int
    dilation: int

    @property
    def count(self) -> int:
        """How many windows there are."""
        return (
            self.size + self.before + self.after - effective(self.kernel, self.dilation)
        ) // self.stride + 1

    def reach(self, index: Indices) -> Indices:
        """(I, kernel): the positions that the windows of these indices read."""
        reach: Indices = index[:, None] * self.stride - self.before + np.arange(self.kernel) * self.dilation
        return reach

    def hits(self, pixel: Indices, count: int) -> Iterator[tuple[int, Indices, Indices]]:
        """For each tap that lies on some of these pixels: the tap, their places, and the windows that it belongs to.

        `count` windows there are. It is the way back of `reach`.
        """
        for tap in range(self.kernel):
            window, rest = np.divmod(pixel + self.before - tap * self.dilation, self.stride)
            places = np.flatnonzero((rest == 0) & (window >= 0) & (window < count))
            if len(places):
                yield tap, places, window[places]


def axes_of(size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Axis, Axis]:
    """Both axes of a convolution, from its arguments."""
    around = sides(padding, size, kernel, stride, dilation)
    rows, columns = (
        Axis(n, k, s, *p, d)
        for n, k, s, p, d in zip(size, pair(kernel), pair(stride), around, pair(dilation), strict=True)
    )
    return rows, columns


def pixels(
    x: Array, n: Indices, channels: Indices, rows: Indices, columns: Indices, fill: float = 0
) -> Array:
    """(N, C, I, kH, J, kW) of the images, channels, rows (I, kH) and columns (J, kW); `fill` outside of the image."""
    height, width = x.shape[2:]
    place = np.ix_(n, channels, rows.clip(0, height - 1).ravel(), columns.clip(0, width - 1).ravel())
    taken: Array = x[place].reshape(len(n), len(channels), *rows.shape, *columns.shape)
    return np.where(inside(rows, height)[:, :, None, None] & inside(columns, width), taken, fill)


def inside(index: Indices, size: int) -> Array:
    """Which positions are pixels."""
    found: Array = (index >= 0) & (index < size)
    return found


@dataclass(frozen=True)
class AxisWindows:
    """The windows of a pooling along one axis of `size` pixels.

    ``pixels`` (count, longest) are the pixels of each, outside of the image where it has fewer; ``extent`` (count,) is
    how many an average with its padding divides by.
    """

    size: int
    pixels: Indices
    extent: Indices

    @property
    def count(self) -> int:
        return len(self.pixels)

    @property
    def some_empty(self) -> bool:
        """Whether a window holds no pixel."""
        return not inside(self.pixels, self.size).any(1).all()


def sliding(
    size: int, kernel: int, stride: int, padding: Pair = (0, 0), dilation: int = 1, ceil_mode: bool = False
) -> AxisWindows:
    """Windows at equal distances; with `ceil_mode` also a last one that is cut short, if it begins inside the image."""
    before, after = padding
    spare = size + before + after - effective(kernel, dilation) + (stride - 1 if ceil_mode else 0)
    count = spare // stride + 1
    if ceil_mode and (count - 1) * stride >= size + before:
        count -= 1
    start = np.arange(count) * stride - before
    extent = np.minimum(start + effective(kernel, dilation), size + after) - start
    return AxisWindows(size, start[:, None] + np.arange(kernel) * dilation, extent)


def sliding_axes(
    size: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[AxisWindows, AxisWindows]:
    """Both axes of a pooling, from its arguments; without a stride that of the kernel."""
    stride = kernel_size if stride is None else stride
    around = sides(padding, size, kernel_size, stride, dilation)
    rows, columns = (
        sliding(*axis, ceil_mode)
        for axis in zip(size, pair(kernel_size), pair(stride), around, pair(dilation), strict=True)
    )
    return rows, columns


def adaptive_axes(size: Any, output_size: Any) -> tuple[AxisWindows, AxisWindows]:
    """Both axes of an adaptive pooling: ``output_size`` windows that cover the image; None for one of each pixel."""
    rows, columns = (
        _adaptive(n, n if count is None else count) for n, count in zip(size, pair(output_size), strict=True)
    )
    return rows, columns


def _adaptive(size: int, count: int) -> AxisWindows:
    index = np.arange(count)
    start, stop = index * size // count, -((index + 1) * -size // count)
    reach = start[:, None] + np.arange((stop - start).max(initial=0))
    return AxisWindows(size, np.where(reach < stop[:, None], reach, size), stop - start)
