"""Views of images and of their windows, which the primitives of the reference backend and their gradients share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fastconv.backends.numpy.sums import Sums
from fastconv.problem.convolution import ConvProblem
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout

# Elements of a few arrays of one step: some milliseconds of NumPy's work, and few enough for a last-level cache.
_PIECE = 2**20


def pieces(batch: int, elements: int) -> list[slice]:
    """Images to work on at a time: Python handles signals between NumPy's calls, not within."""
    images = max(1, _PIECE * batch // max(1, elements))
    return [slice(first, min(first + images, batch)) for first in range(0, batch, images)]


def channels_first(array: Array, layout: Layout) -> Array:
    """A view of `array` as (N, C, H, W)."""
    return np.moveaxis(array, -1, 1) if channels_last(layout) else array


def flat_planes(array: Array, layout: Layout) -> Array:
    """(N, C, H * W): a view in NCHW, a copy in NHWC."""
    view = channels_first(array, layout)
    return view.reshape(*view.shape[:2], -1)


class Sight(NamedTuple):
    """The outputs from which a tap of the kernel sees the image, and the pixels that they see; both (rows, columns)."""

    tap: tuple[int, int]
    outputs: tuple[slice, slice]
    pixels: tuple[slice, slice]


def sights(problem: ConvProblem) -> Iterator[Sight]:
    """What each tap of the kernel sees of the image itself: what lies outside is 0, and adds nothing."""
    columns = list(_sights_along(problem, 1))
    for row in _sights_along(problem, 0):
        for column in columns:
            yield Sight((row[0], column[0]), (row[1], column[1]), (row[2], column[2]))


def _sights_along(problem: ConvProblem, axis: int) -> Iterator[tuple[int, slice, slice]]:
    size, stride = problem.size[axis], problem.stride[axis]
    for tap in range(problem.kernel[axis]):
        first = tap * problem.dilation[axis] - problem.padding[2 * axis]
        low = max(0, -(first // stride))
        high = min(problem.out_size[axis], -((first - size) // stride))
        if low < high:
            pixels = slice(first + low * stride, first + (high - 1) * stride + 1, stride)
            yield tap, slice(low, high), pixels


def neighbour_sums(x: Array, below: int, above: int) -> Array:
    """For each channel of (N, C, H, W) the sum over it, `below` channels before it and `above` after it."""
    channels = x.shape[1]
    sums = Sums(x.shape, x.dtype)
    for shift in range(max(-below, 1 - channels), min(above, channels - 1) + 1):
        low, high = max(0, -shift), min(channels, channels - shift)
        sums.part()[:, low:high] += x[:, low + shift : high + shift]
    return sums.result()
