"""What moves pixels, or reads them between the grid's points: unfold, padding, deformation, the norm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv import geometry
from fastconv.bench.definitions.common import (
    Definition,
    Floats,
    Where,
    pair,
    pixels_of,
    reach,
    sides,
    sources,
    sums,
    with_bias,
)
from fastconv.bench.layer import Pair
from fastconv.typing import Array


def _windows(size: Pair, kernel: Pair, stride: Pair, padding: Any, dilation: Pair) -> tuple[Pair, Pair]:
    """(top, left), and how many windows there are along each axis."""
    pads = sides(padding, size, kernel, stride, dilation)
    return (pads[0][0], pads[1][0]), geometry.conv_output_size(size, kernel, stride, pads, dilation)


def unfold(x: Array, *, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Definition:
    kernel, stride, dilation = pair(kernel_size), pair(stride), pair(dilation)
    before, count = _windows(x.shape[2:], kernel, stride, padding, dilation)

    def at(where: Where) -> tuple[Floats, Floats]:
        n, row, window = where
        c, a, b = np.unravel_index(row, (x.shape[1], *kernel))
        i, j = np.unravel_index(window, count)
        place = np.arange(len(n))
        rows = reach(i, kernel[0], stride[0], before[0], dilation[0])[place, a]
        columns = reach(j, kernel[1], stride[1], before[1], dilation[1])[place, b]
        return pixels_of(x, n, c[:, None], rows[:, None], columns[:, None]).ravel(), np.zeros(len(n))

    return Definition((x.shape[0], x.shape[1] * math.prod(kernel), math.prod(count)), 1, at)


def fold(
    x: Array, *, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Definition:
    size, kernel, stride, dilation = pair(output_size), pair(kernel_size), pair(stride), pair(dilation)
    before, count = _windows(size, kernel, stride, padding, dilation)
    columns = x.reshape(x.shape[0], -1, *kernel, *count)

    def at(where: Where) -> tuple[Floats, Floats]:
        n, c, h, w = where
        i, j = (
            sources(index, kernel[axis], stride[axis], before[axis], dilation[axis])
            for axis, index in enumerate((h, w))
        )
        inside = ((i >= 0) & (i < count[0]))[:, :, None] & ((j >= 0) & (j < count[1]))[:, None]
        a, b = np.ogrid[: kernel[0], : kernel[1]]
        i, j = i.clip(0, count[0] - 1)[:, :, None], j.clip(0, count[1] - 1)[:, None]
        taken = columns[n[:, None, None], c[:, None, None], a, b, i, j].astype(np.float64)
        return sums(np.where(inside, taken, 0), 1, 2)

    return Definition((x.shape[0], columns.shape[1], *size), math.prod(kernel), at)


def _copied(result: Array) -> Definition:
    """Elements that are copied have no rounding."""
    return Definition(result.shape, 1, lambda where: (result[where], np.zeros(len(where[0]))))


MODES: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # as NumPy calls them


def pad2d(x: Array, *, padding: Any, mode: str = "zeros", value: float = 0.0) -> Definition:
    around = ((0, 0), (0, 0), *sides(padding, x.shape[2:], (1, 1)))
    if mode == "zeros":
        return _copied(np.pad(x, around, constant_values=value))
    return _copied(np.pad(x, around, mode=MODES[mode]))


def max_unpool2d(
    x: Array,
    indices: Array,
    *,
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
    np.put_along_axis(planes, indices.reshape(flat), x.reshape(flat), axis=2)
    return _copied(planes.reshape(*x.shape[:2], *size))


def local_response_norm(
    x: Array, *, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Definition:
    def at(where: Where) -> tuple[Floats, Floats]:
        n, c, i, j = where
        near = c[:, None] - size // 2 + np.arange(size)
        inside = (near >= 0) & (near < x.shape[1])
        taken = x[n[:, None], near.clip(0, x.shape[1] - 1), i[:, None], j[:, None]].astype(np.float64)
        energy = (np.where(inside, taken, 0) ** 2).sum(1)
        value = x[where] / (k + alpha / size * energy) ** beta
        return value, np.abs(value)

    return Definition(x.shape, size, at)


def deform_conv2d(
    x: Array,
    offset: Array,
    weight: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
) -> Definition:
    filters, per_group, *taps = weight.shape
    kernel, stride, dilation = (taps[0], taps[1]), pair(stride), pair(dilation)
    before, count = _windows(x.shape[2:], kernel, stride, padding, dilation)
    shifts = offset.reshape(x.shape[0], -1, *kernel, 2, *count)
    strengths = None if mask is None else mask.reshape(x.shape[0], -1, *kernel, *count)

    def at(where: Where) -> tuple[Floats, Floats]:
        n, k, i, j = where
        groups = x.shape[1] // per_group
        channels = (k // (filters // groups) * per_group)[:, None] + np.arange(per_group)
        a, b = np.ogrid[: kernel[0], : kernel[1]]
        image, c, i, j = (index[..., None, None] for index in (n[:, None], channels, i[:, None], j[:, None]))
        field = c * shifts.shape[1] // x.shape[1]  # the group of offsets that a channel has
        y = (
            i * stride[0]
            - before[0]
            + a * dilation[0]
            + shifts[image, field, a, b, 0, i, j].astype(np.float64)
        )
        z = (
            j * stride[1]
            - before[1]
            + b * dilation[1]
            + shifts[image, field, a, b, 1, i, j].astype(np.float64)
        )
        value = np.zeros(y.shape)
        for row in (np.floor(y), np.floor(y) + 1):
            for column in (np.floor(z), np.floor(z) + 1):
                inside = (row >= 0) & (row < x.shape[2]) & (column >= 0) & (column < x.shape[3])
                share = (1 - np.abs(y - row)) * (1 - np.abs(z - column)) * inside
                down, across = row.clip(0, x.shape[2] - 1), column.clip(0, x.shape[3] - 1)
                value += share * x[image, c, down.astype(np.int64), across.astype(np.int64)]
        if strengths is not None:
            value *= strengths[image, field, a, b, i, j]
        return with_bias(sums(value * weight[k], 1, 2, 3), bias, k)

    return Definition((x.shape[0], filters, *count), math.prod(weight.shape[1:]), at)
