"""Deformable convolution: images read between their pixels, and the gradients of that."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fastconv.backends.numpy.geometry import fill
from fastconv.backends.numpy.product import product
from fastconv.backends.numpy.sums import wider
from fastconv.pieces import pieces
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array

_ALL = slice(None)


class Corner(NamedTuple):
    """One of the four pixels around every tap's place; all arrays are (N, G, kH, kW, oH, oW).

    `place` is its flat position in the plane, its share of the value `row` * `column`, and their slopes with the
    place are `row_slope` and `column_slope`; all is 0 where it lies outside of the image.
    """

    place: Array
    row: Array
    column: Array
    row_slope: Array
    column_slope: Array


def _samples(problem: ConvProblem, x: Array) -> int:
    """How many there are of an array of images: for each channel, tap and output."""
    return len(x) * problem.channels * math.prod((*problem.kernel, *problem.out_size))


def forward(
    problem: ConvProblem, x: Array, offset: Array, mask: Array | None, weight: Array, out: Array
) -> None:
    """(N, K, oH, oW), without bias."""
    for images, rows, columns in pieces(_samples(problem, x), len(x), *problem.out_size):
        own = images, _ALL, rows, columns
        samples = _sample(problem, x[images], offset[own], (rows.start, columns.start))
        seen = _matrix(problem, _masked(samples, None if mask is None else mask[own]))
        y = product(weight.reshape(problem.groups, -1, seen.shape[2]), seen)
        out[own] = y.reshape(out[own].shape)


def gradient(
    problem: ConvProblem,
    x: Array,
    offset: Array,
    mask: Array | None,
    weight: Array,
    grad_output: Array,
    grad_x: Array,
    grad_offset: Array,
    grad_mask: Array | None,
) -> Array:
    """Fill the last three; return the gradient of the weights, in float64."""
    grad_weight = np.zeros(weight.shape)
    for (images,) in pieces(_samples(problem, x), len(x)):
        image = x[images]
        pixels = np.zeros(image.shape, wider(x.dtype))
        for outputs in pieces(_samples(problem, image), *problem.out_size):
            own = images, _ALL, *outputs
            grad_weight += _add_gradient(
                problem, image, offset[own], None if mask is None else mask[own], weight, grad_output[own],
                pixels, grad_offset[own], None if grad_mask is None else grad_mask[own],
                (outputs[0].start, outputs[1].start),
            )  # fmt: skip
        fill(grad_x[images], np.positive, pixels)
    return grad_weight


def _add_gradient(
    problem: ConvProblem,
    x: Array,
    offset: Array,
    mask: Array | None,
    weight: Array,
    grad_output: Array,
    grad_x: Array,
    grad_offset: Array,
    grad_mask: Array | None,
    first: tuple[int, int],
) -> Array:
    """What some of the outputs, from `first` on, add to that of the image and of the weights; fill those of theirs."""
    samples = _sample(problem, x, offset, first)
    columns = _matrix(problem, _masked(samples, mask))
    slopes = grad_output.reshape(*columns.shape[:2], -1, columns.shape[3])
    products = product(slopes.astype(np.float64), columns.swapaxes(2, 3).astype(np.float64))
    grad_weight: Array = products.sum(0).reshape(weight.shape)
    by_tap = product(weight.reshape(problem.groups, -1, columns.shape[2]).swapaxes(1, 2), slopes)
    by_tap = by_tap.reshape(samples.shape)
    if grad_mask is not None:
        grad_mask[...] = (by_tap * samples).sum(2, dtype=wider(x.dtype)).reshape(grad_mask.shape)
    by_tap = _masked(by_tap, mask)
    planes = x.reshape(*samples.shape[:3], -1)
    flat = grad_x.reshape(-1)
    start = np.arange(x.shape[0] * x.shape[1]).reshape(*samples.shape[:3], 1, 1, 1, 1) * planes.shape[3]
    shift = np.zeros((*samples.shape[:2], *problem.kernel, 2, *offset.shape[2:]), grad_offset.dtype)
    for corner in _corners(problem, offset, x.shape[2:], first):
        pixels = (by_tap * _pixels(planes, corner.place)).sum(2, dtype=wider(x.dtype))
        shift[:, :, :, :, 0] += _times(corner.row_slope * corner.column, pixels)
        shift[:, :, :, :, 1] += _times(corner.row * corner.column_slope, pixels)
        share = (corner.row * corner.column)[:, :, np.newaxis]
        at = start + corner.place[:, :, np.newaxis]
        # What was read at an offset of NaN is no pixel's.
        np.add.at(flat, at.ravel(), _times(np.where(np.isnan(share), 0, share), by_tap).ravel())
    grad_offset[...] = shift.reshape(grad_offset.shape)
    return grad_weight


def _corners(
    problem: ConvProblem, offset: Array, size: tuple[int, ...], first: tuple[int, int]
) -> Iterator[Corner]:
    """Those of outputs from `first` on, whose offsets these are."""
    height, width = size
    (kernel_h, kernel_w), out_size = problem.kernel, offset.shape[2:]
    shifts = offset.reshape(len(offset), -1, kernel_h, kernel_w, 2, *out_size)
    grid = np.ix_(*(range(n) for n in (kernel_h, kernel_w, *out_size)))
    row = shifts[:, :, :, :, 0] + (
        grid[0] * problem.dilation[0] + (grid[2] + first[0]) * problem.stride[0] - problem.padding[0]
    )
    column = shifts[:, :, :, :, 1] + (
        grid[1] * problem.dilation[1] + (grid[3] + first[1]) * problem.stride[1] - problem.padding[2]
    )
    # At -1 the value is still 0, but no longer its slope to the right.
    unknown = np.isnan(row) | np.isnan(column)
    inside = (row >= -1) & (row < height) & (column >= -1) & (column < width)
    row, column = np.where(inside, row, 0), np.where(inside, column, 0)
    top, left = np.floor(row), np.floor(column)
    for below, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        r, c = top + below, left + right
        exists = inside & (r >= 0) & (r < height) & (c >= 0) & (c < width)
        # At an offset of NaN the first corner has a share of NaN.
        other = np.where(unknown, np.nan, 0).astype(offset.dtype) if below == right == 0 else 0
        yield Corner(
            np.where(exists, r.astype(np.int64) * width + c.astype(np.int64), 0),
            np.where(exists, 1 - np.abs(row - r), other),
            np.where(exists, 1 - np.abs(column - c), other),
            np.where(exists, 2 * below - 1, other),
            np.where(exists, 2 * right - 1, other),
        )


def _sample(problem: ConvProblem, x: Array, offset: Array, first: tuple[int, int]) -> Array:
    """(N, G, C // G, kH, kW, oH, oW): the image at every tap's place, bilinear between pixels, 0 outside."""
    groups = offset.shape[1] // (2 * problem.kernel[0] * problem.kernel[1])
    planes = x.reshape(len(x), groups, -1, x.shape[2] * x.shape[3])
    result = np.zeros((*planes.shape[:3], *problem.kernel, *offset.shape[2:]), x.dtype)
    for corner in _corners(problem, offset, x.shape[2:], first):
        share = (corner.row * corner.column)[:, :, np.newaxis]
        result += _times(share, _pixels(planes, corner.place))
    return result


def _times(share: Array, pixels: Array) -> Array:
    """A pixel of share 0 does not count, whatever it is."""
    return np.multiply(share, pixels, out=np.zeros_like(pixels), where=share != 0)


def _pixels(planes: Array, place: Array) -> Array:
    """The pixels at the positions `place`, which all channels of a group share."""
    flat = place.reshape(*place.shape[:2], 1, -1)
    return np.take_along_axis(planes, flat, axis=3).reshape(*planes.shape[:3], *place.shape[2:])


def _masked(columns: Array, mask: Array | None) -> Array:
    if mask is None:
        return columns
    return columns * mask.reshape(*columns.shape[:2], 1, *columns.shape[3:])


def _matrix(problem: ConvProblem, columns: Array) -> Array:
    """(N, groups, C // groups * kH * kW, oH * oW)."""
    return columns.reshape(len(columns), problem.groups, -1, math.prod(columns.shape[-2:]))
