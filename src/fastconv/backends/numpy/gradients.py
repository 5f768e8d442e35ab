"""The gradients of the reference backend's primitives; called by its methods of similar names.

As there, images are (N, C, H, W) views, and loops run over the taps of a kernel or window, never over pixels.
"""

from __future__ import annotations

import numpy as np

from fastconv.backends.numpy.geometry import (
    channels_first,
    flat_planes,
    neighbour_sums,
    pieces,
    sights,
)
from fastconv.backends.numpy.pooling import divisors
from fastconv.backends.numpy.product import product
from fastconv.backends.numpy.sums import wider
from fastconv.problem.convolution import ConvProblem
from fastconv.problem.pooling import PoolProblem, Windows
from fastconv.typing import Array, Layout


def conv_weight(problem: ConvProblem, x: Array, grad_output: Array) -> Array:
    """(K, C // groups, kH, kW): for each tap a matrix product over the output's pixels, in float64."""
    filters, channels = problem.filters // problem.groups, problem.channels // problem.groups
    result = np.zeros((problem.groups, filters, channels, *problem.kernel))
    for own in pieces(problem.batch, max(x.size, grad_output.size)):
        slopes = grad_output[own].astype(np.float64)
        image = x[own].astype(np.float64)
        slopes = slopes.reshape(len(slopes), problem.groups, filters, *problem.out_size)
        image = image.reshape(len(image), problem.groups, channels, *problem.size)
        for tap, outputs, pixels in sights(problem):
            seen, given = (a.reshape(*a.shape[:3], -1) for a in (image[..., *pixels], slopes[..., *outputs]))
            result[..., *tap] += product(given, seen.swapaxes(2, 3)).sum(0)
    return result.reshape(problem.filters, *result.shape[2:])


def scatter_add(values: Array, indices: Array, layout: Layout, out: Array) -> None:
    source, at = flat_planes(values, layout), flat_planes(indices, layout)
    target = channels_first(out, layout)
    size = target.shape[2] * target.shape[3]
    first = np.arange(source.shape[0] * source.shape[1]).reshape(*source.shape[:2], 1) * size
    flat = np.zeros(target.size, wider(out.dtype))
    np.add.at(flat, (first + at).ravel(), source.ravel())
    target[...] = flat.reshape(target.shape)


def gather(x: Array, indices: Array, layout: Layout, out: Array) -> None:
    target = channels_first(out, layout)
    values = np.take_along_axis(flat_planes(x, layout), flat_planes(indices, layout), axis=2)
    target[...] = values.reshape(target.shape)


def pad(grad_output: Array, rows: Array, columns: Array, out: Array) -> None:
    by_column = np.zeros((*grad_output.shape[:3], out.shape[3]), wider(out.dtype))
    _add_along(3, by_column, columns, grad_output)
    by_row = np.zeros(out.shape, by_column.dtype)
    _add_along(2, by_row, rows, by_column)
    out[...] = by_row


def pool(problem: PoolProblem, grad_output: Array, out: Array) -> None:
    shares = grad_output / divisors(problem).astype(grad_output.dtype)
    by_column = np.zeros((*shares.shape[:3], problem.size[1]), wider(out.dtype))
    _spread(3, by_column, problem.columns, shares)
    by_row = np.zeros(out.shape, by_column.dtype)
    _spread(2, by_row, problem.rows, by_column)
    out[...] = by_row


def _spread(axis: int, target: Array, windows: Windows, values: Array) -> None:
    """Add every window's value to its first, its second, ... element."""
    (start,), (stop,), _ = windows.tables()
    for step in range(0, int((stop - start).max()), windows.step):
        at = start + step
        _add_along(axis, target, np.where(at < stop, at, -1), values)


def _add_along(axis: int, target: Array, table: Array, values: Array) -> None:
    """Add the slices of `values` to those of `target` that the table names; -1 names none."""
    kept = np.flatnonzero(table >= 0)
    along = np.moveaxis(target, axis, 0)
    np.add.at(along, table[kept], np.moveaxis(values, axis, 0)[kept])


def local_response_norm(
    x: Array, grad_output: Array, size: int, alpha: float, beta: float, k: float
) -> Array:
    """Through the numerator, and through the sums of all windows that hold a channel."""
    below, above = size // 2, (size - 1) // 2
    base = k + alpha / size * neighbour_sums(np.square(x), below, above)
    shares = neighbour_sums(grad_output * x / base ** (beta + 1), above, below)
    result: Array = grad_output / base**beta - 2 * beta * alpha / size * x * shares
    return result
