"""Views of images and of their windows, which the primitives of the reference backend and their gradients share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastconv.backends.numpy.sums import Sums
from fastconv.pieces import PIECE, pieces
from fastconv.problem.convolution import ConvProblem
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout


def memory_order(array: Array) -> list[int]:
    """Its axes, the one of the largest steps first."""
    return sorted(range(array.ndim), key=lambda axis: -array.strides[axis])


def fill(out: Array, function: Callable[..., Any], *arrays: Array) -> None:
    """Elementwise, ``out[...] = function(*arrays)``, in pieces as `out` lies in memory."""
    if out.size <= PIECE:
        out[...] = function(*arrays)
        return
    order = memory_order(out)
    views = [np.broadcast_to(array, out.shape).transpose(order) for array in arrays]
    target = out.transpose(order)
    for own in pieces(target.size, *target.shape):
        target[own] = function(*(view[own] for view in views))


def channels_first(array: Array, layout: Layout) -> Array:
    """A view of `array` as (N, C, H, W)."""
    return np.moveaxis(array, -1, 1) if channels_last(layout) else array


def flat_planes(array: Array) -> Array:
    """(N, C, H * W), of a view (N, C, H, W): a view in NCHW, a copy in NHWC."""
    return array.reshape(*array.shape[:2], -1)


class Sight(NamedTuple):
    """The outputs from which a tap of the kernel sees the image, and the pixels that they see; both (rows, columns)."""

    tap: tuple[int, int]
    outputs: tuple[slice, slice]
    pixels: tuple[slice, slice]


def sights(problem: ConvProblem, elements: int = 0) -> Iterator[Sight]:
    """What each tap of the kernel sees of the image itself: what lies outside is 0, and adds nothing.

    In pieces of the outputs, where the work of a tap is on so many elements.
    """
    for rows, columns in pieces(elements, *problem.out_size):
        for tap, (down, across), pixels in sights_from(problem, rows, columns):
            yield Sight(tap, (_shifted(down, rows), _shifted(across, columns)), pixels)


def sights_from(problem: ConvProblem, rows: slice, columns: slice) -> Iterator[Sight]:
    """The same from some outputs, the first of which counts as 0."""
    along_row = list(_sights_along(problem, 1, columns))
    for row in _sights_along(problem, 0, rows):
        for column in along_row:
            yield Sight((row[0], column[0]), (row[1], column[1]), (row[2], column[2]))


def _shifted(part: slice, whole: slice) -> slice:
    return slice(whole.start + part.start, whole.start + part.stop)


def _sights_along(problem: ConvProblem, axis: int, own: slice) -> Iterator[tuple[int, slice, slice]]:
    size, stride = problem.size[axis], problem.stride[axis]
    for tap in range(problem.kernel[axis]):
        first = own.start * stride + tap * problem.dilation[axis] - problem.padding[2 * axis]
        low = max(0, -(first // stride))
        high = min(own.stop - own.start, -((first - size) // stride))
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
