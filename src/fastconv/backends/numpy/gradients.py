"""The gradients of the reference backend's primitives; called by its methods of similar names.

As there, images are (N, C, H, W) views, and loops run over the taps of a kernel or window, never over pixels.
"""

from __future__ import annotations

import numpy as np

from fastconv.backends.numpy.geometry import channels_first, fill, flat_planes, neighbour_sums
from fastconv.backends.numpy.sums import wider
from fastconv.pieces import pieces
from fastconv.problem.pooling import PoolProblem, Windows
from fastconv.typing import Array, Layout


def scatter_add(values: Array, indices: Array, layout: Layout, out: Array) -> None:
    source, at, target = (channels_first(a, layout) for a in (values, indices, out))
    size = target.shape[2] * target.shape[3]
    for planes in pieces(max(source.size, target.size), *target.shape[:2]):
        given, places = flat_planes(source[planes]), flat_planes(at[planes])
        first = np.arange(given.shape[0] * given.shape[1]).reshape(*given.shape[:2], 1) * size
        flat = np.zeros(first.size * size, wider(out.dtype))
        for own in pieces(places.size, *places.shape):
            np.add.at(flat, (first[own[:2]] + places[own]).ravel(), given[own].ravel())
        target[planes] = flat.reshape(target[planes].shape)


def gather(x: Array, indices: Array, layout: Layout, out: Array) -> None:
    source, at, target = (channels_first(a, layout) for a in (x, indices, out))
    for planes in pieces(max(source.size, target.size), *target.shape[:2]):
        given, places = flat_planes(source[planes]), flat_planes(at[planes])
        values = np.empty(places.shape, out.dtype)
        for own in pieces(places.size, *places.shape):
            values[own] = np.take_along_axis(given[own[:2]], places[own], axis=2)
        target[planes] = values.reshape(target[planes].shape)


def pad(grad_output: Array, rows: Array, columns: Array, out: Array) -> None:
    for own in pieces(max(grad_output.size, out.size), *out.shape[:2]):
        slopes, target = grad_output[own], out[own]
        by_column = np.zeros((*slopes.shape[:3], target.shape[3]), wider(out.dtype))
        _add_along(3, by_column, columns, slopes)
        by_row = np.zeros(target.shape, by_column.dtype)
        _add_along(2, by_row, rows, by_column)
        fill(target, np.positive, by_row)


def pool(problem: PoolProblem, grad_output: Array, out: Array) -> None:
    dtype = grad_output.dtype
    rows, columns = problem.rows.tables().divisor[:, np.newaxis], problem.columns.tables().divisor
    for own in pieces(max(grad_output.size, out.size), *out.shape[:2]):
        slopes, target = grad_output[own], out[own]
        shares = np.empty(slopes.shape, dtype)
        fill(shares, lambda g, row, column: g / (row * column).astype(dtype), slopes, rows, columns)
        by_column = np.zeros((*shares.shape[:3], problem.size[1]), wider(out.dtype))
        _spread(3, by_column, problem.columns, shares)
        by_row = np.zeros(target.shape, by_column.dtype)
        _spread(2, by_row, problem.rows, by_column)
        fill(target, np.positive, by_row)


def _spread(axis: int, target: Array, windows: Windows, values: Array) -> None:
    """Add every window's value to its first, its second, ... element."""
    (start,), (stop,), _ = windows.tables()
    for step in range(0, int((stop - start).max()), windows.step):
        at = start + step
        _add_along(axis, target, np.where(at < stop, at, -1), values)


def _add_along(axis: int, target: Array, table: Array, values: Array) -> None:
    """Add the slices of `values` to those of `target` that the table names; -1 names none."""
    kept = np.flatnonzero(table >= 0)
    along, given = np.moveaxis(target, axis, 0), np.moveaxis(values, axis, 0)
    for *own, part in pieces(given.size, *given.shape[1:], len(kept)):
        at = kept[part]
        np.add.at(along[:, *own], table[at], given[:, *own][at])


def local_response_norm(
    x: Array, grad_output: Array, size: int, alpha: float, beta: float, k: float
) -> Array:
    """Through the numerator, and through the sums of all windows that hold a channel."""
    below, above = size // 2, (size - 1) // 2
    base = k + alpha / size * neighbour_sums(np.square(x), below, above)
    shares = neighbour_sums(grad_output * x / base ** (beta + 1), above, below)
    result: Array = grad_output / base**beta - 2 * beta * alpha / size * x * shares
    return result
