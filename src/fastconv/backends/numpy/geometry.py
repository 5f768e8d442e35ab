"""Views of images and of their windows, which the primitives of the reference backend and their gradients share."""

from __future__ import annotations

import numpy as np

from fastconv.backends.numpy.sums import Sums
from fastconv.problem.convolution import ConvProblem
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout


def channels_first(array: Array, layout: Layout) -> Array:
    """A view of `array` as (N, C, H, W)."""
    return np.moveaxis(array, -1, 1) if channels_last(layout) else array


def flat_planes(array: Array, layout: Layout) -> Array:
    """(N, C, H * W): a view in NCHW, a copy in NHWC."""
    view = channels_first(array, layout)
    return view.reshape(*view.shape[:2], -1)


def padded(problem: ConvProblem, x: Array) -> Array:
    top, bottom, left, right = problem.padding
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right))) if any(problem.padding) else x


def cropped(problem: ConvProblem, image: Array) -> Array:
    """What `padded` put zeros around."""
    top, _, left, _ = problem.padding
    return image[:, :, top : top + problem.size[0], left : left + problem.size[1]]


def tap_view(problem: ConvProblem, image: Array, tap: tuple[int, ...]) -> Array:
    """View of the padded image's pixels that one tap of the kernel sees, one for each output pixel."""
    rows, columns = (
        slice(t * d, t * d + (o - 1) * s + 1, s)
        for t, d, s, o in zip(tap, problem.dilation, problem.stride, problem.out_size, strict=True)
    )
    return image[:, :, rows, columns]


def neighbour_sums(x: Array, below: int, above: int) -> Array:
    """For each channel of (N, C, H, W) the sum over it, `below` channels before it and `above` after it."""
    channels = x.shape[1]
    sums = Sums(x.shape, x.dtype)
    for shift in range(-below, above + 1):
        low, high = max(0, -shift), min(channels, channels - shift)
        if low < high:
            sums.part()[:, low:high] += x[:, low + shift : high + shift]
    return sums.result()
