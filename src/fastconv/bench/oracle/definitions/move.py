"""What only moves pixels, or adds up those that are moved to the same place: padding, unfold, fold, unpooling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv.bench.oracle.definitions.common import (
    Array,
    Box,
    Definition,
    Indices,
    Part,
    computed,
    copied,
)
from fastconv.bench.oracle.definitions.windows import axes_of, inside, pair, sides, source


def pad2d(x: Array, padding: Any, mode: str = "zeros", value: float = 0.0) -> Definition:
    around = sides(padding, x.shape[2:], 1)
    height, width = (n + sum(side) for n, side in zip(x.shape[2:], around, strict=True))

    def at(box: Box) -> Part:
        n, c, *places = box
        rows, columns = (
            source(index - before, size, mode)
            for index, (before, _), size in zip(places, around, x.shape[2:], strict=True)
        )
        is_pixel = inside(rows, x.shape[2])[:, None] & inside(columns, x.shape[3])
        taken = x[np.ix_(n, c, rows.clip(0, x.shape[2] - 1), columns.clip(0, x.shape[3] - 1))]
        values = np.where(is_pixel, taken, np.asarray(value).astype(x.dtype))
        return values, np.zeros(values.shape)

    return Definition((*x.shape[:2], height, width), 1, at)


def pad2d_gradient(
    grad_output: Array, x: Array, padding: Any, mode: str = "zeros", value: float = 0.0
) -> Definition:
    around = sides(padding, x.shape[2:], 1)
    grad = grad_output.astype(np.float64)

    def at(box: Box) -> Part:
        values = grad[np.ix_(*box)]
        return values, np.abs(values)

    return unpadded(Definition(grad.shape, 1, at), x.shape[2:], around, mode)


def unpadded(padded: Definition, size: Any, around: Any, mode: str) -> Definition:
    """Each pixel of an image of that size gets the sum of what stands at its places in the padded image."""
    tables = [
        source(np.arange(-before, n + after), n, mode)
        for n, (before, after) in zip(size, around, strict=True)
    ]

    def at(box: Box) -> Part:
        (n, c, *pixels), places, owners = box, [], []
        for table, index in zip(tables, pixels, strict=True):
            owner, place = np.nonzero(table == index[:, None])
            places.append(place)
            owners.append(owner)
        values, bound = (_added(part, owners, list(map(len, pixels))) for part in padded.at([n, c, *places]))
        return values, bound

    return Definition((*padded.shape[:2], *size), padded.terms, at, padded.whole, padded.in_turns)


def _added(part: Array, owners: list[Indices], counts: list[int]) -> Array:
    """Rows and columns of the same owner added up."""
    for axis, (owner, count) in enumerate(zip(owners, counts, strict=True), part.ndim - 2):
        total = np.zeros((count, *np.delete(part.shape, axis)))
        np.add.at(total, owner, np.moveaxis(part, axis, 0))
        part = np.moveaxis(total, 0, axis)
    return part


def unfold(x: Array, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Definition:
    rows, columns = axes_of(x.shape[2:], kernel_size, stride, padding, dilation)

    def at(box: Box) -> Part:
        n, element, window = box
        c, a, b = np.unravel_index(element, (x.shape[1], rows.kernel, columns.kernel))
        i, j = np.unravel_index(window, (rows.count, columns.count))
        row = rows.reach(i).T[a] if len(i) else np.zeros((len(a), 0), np.int64)
        column = columns.reach(j).T[b] if len(j) else np.zeros((len(b), 0), np.int64)
        is_pixel = inside(row, rows.size) & inside(column, columns.size)
        place = c[:, None], row.clip(0, rows.size - 1), column.clip(0, columns.size - 1)
        values = np.where(is_pixel, x[n[:, None, None], *place], x.dtype.type(0))
        return values, np.zeros(values.shape)

    elements = x.shape[1] * rows.kernel * columns.kernel
    return Definition((x.shape[0], elements, rows.count * columns.count), 1, at)


def fold(
    x: Array, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Definition:
    rows, columns = axes_of(pair(output_size), kernel_size, stride, padding, dilation)
    channels = x.shape[1] // (rows.kernel * columns.kernel)
    windows = x.reshape(x.shape[0], channels, rows.kernel, columns.kernel, rows.count, columns.count)

    def at(box: Box) -> Part:
        n, c, h, w = box
        found = np.zeros((2, *map(len, box)))
        across = list(columns.hits(w, columns.count))
        for a, h_places, i in rows.hits(h, rows.count):
            for b, w_places, j in across:
                part = windows[:, :, a, b][np.ix_(n, c, i, j)].astype(np.float64)
                found[0][:, :, h_places[:, None], w_places] += part
                found[1][:, :, h_places[:, None], w_places] += np.abs(part)
        return found[0], found[1]

    shape = x.shape[0], channels, rows.size, columns.size
    return Definition(shape, rows.kernel * columns.kernel, at, in_turns=True)


def unfold_gradient(grad_output: Array, x: Array, **options: Any) -> Definition:
    """Each element goes back to its pixel."""
    return fold(grad_output, x.shape[2:], **options)


def fold_gradient(grad_output: Array, x: Array, output_size: Any, **options: Any) -> Definition:
    """Each element has the gradient of the pixel that it was added to."""
    return unfold(grad_output, **options)


def max_unpool2d(
    x: Array,
    indices: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Definition:
    kernel, pads = pair(kernel_size), pair(padding)
    steps = kernel if stride is None else pair(stride)
    size = tuple((n - 1) * s - 2 * p + k for n, s, p, k in zip(x.shape[2:], steps, pads, kernel, strict=True))
    size = size if output_size is None else pair(output_size)
    planes = np.zeros((*x.shape[:2], math.prod(size)), x.dtype)
    flat = *x.shape[:2], -1
    if x.size:
        np.put_along_axis(planes, indices.reshape(flat), x.reshape(flat), axis=2)
    return copied(planes.reshape(*x.shape[:2], *size))


def max_unpool2d_gradient(grad_output: Array, x: Array, indices: Array, **options: Any) -> Definition:
    """Of elements that went to the same pixel the last one stayed, and gets its gradient."""

    def compute() -> Part:
        result = np.zeros(indices.shape)
        for n, c in np.ndindex(indices.shape[:2]):
            stays = {int(index): number for number, index in enumerate(indices[n, c].flat)}
            for index, number in stays.items():
                result[n, c].flat[number] = grad_output[n, c].flat[index]
        return result, np.zeros(result.shape)

    return computed(tuple(indices.shape), compute)
