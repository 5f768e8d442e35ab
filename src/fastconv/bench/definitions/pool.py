"""Poolings whose windows are known from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import geometry
from fastconv.bench.definitions.common import Definition, Floats, Where, pair, pixels_of, reach, sides
from fastconv.bench.layer import Pair
from fastconv.typing import Array, Indices


@dataclass(frozen=True)
class Axis:
    """The windows along one axis: `pixels` gives (P, K) indices, those outside of the image at `size` or below 0."""

    count: int
    longest: int
    pixels: Callable[[Indices], Indices]
    counted: Callable[[Indices], Indices]  # how many pixels an average with its padding divides by


def _pool(
    x: Array, rows: Axis, columns: Axis, reduce: Callable[[Floats, Array, Floats], tuple[Floats, Floats]]
) -> Definition:
    """`reduce` gets the pixels (P, K), which of them are inside, and the numbers that an average counts (P,)."""

    def at(where: Where) -> tuple[Floats, Floats]:
        n, c, i, j = where
        down, across = rows.pixels(i), columns.pixels(j)
        inside = ((down >= 0) & (down < x.shape[2]))[:, :, None] & ((across >= 0) & (across < x.shape[3]))[
            :, None
        ]
        taken = pixels_of(x, n, c[:, None], down, across).reshape(len(n), -1)
        counted = (rows.counted(i) * columns.counted(j)).astype(np.float64)
        return reduce(taken, inside.reshape(len(n), -1), counted)

    return Definition((*x.shape[:2], rows.count, columns.count), rows.longest * columns.longest, at)


def _sliding(x: Array, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> list[Axis]:
    kernel, dilation = pair(kernel), pair(dilation)
    stride = kernel if stride is None else pair(stride)
    pads = sides(padding, x.shape[2:], kernel, stride, dilation)
    counts = geometry.pool_output_size(x.shape[2:], kernel, stride, pads, dilation, ceil_mode)
    return list(map(_sliding_axis, x.shape[2:], counts, kernel, stride, pads, dilation))


def _sliding_axis(size: int, count: int, kernel: int, stride: int, pads: Pair, dilation: int) -> Axis:
    def counted(index: Indices) -> Indices:
        start = index * stride - pads[0]
        return np.minimum(start + dilation * (kernel - 1) + 1, size + pads[1]) - start

    return Axis(count, kernel, lambda index: reach(index, kernel, stride, pads[0], dilation), counted)


def _adaptive_axis(size: int, count: int) -> Axis:
    longest = -(-size // count) + 1

    def ends(index: Indices) -> tuple[Indices, Indices]:
        return index * size // count, -((index + 1) * -size // count)

    def pixels(index: Indices) -> Indices:
        start, stop = ends(index)
        reach = start[:, None] + np.arange(longest)
        return np.where(reach < stop[:, None], reach, size)

    return Axis(count, longest, pixels, lambda index: ends(index)[1] - ends(index)[0])


def _maximum(taken: Floats, inside: Array, counted: Floats) -> tuple[Floats, Floats]:
    return np.where(inside, taken, -np.inf).max(axis=1), np.zeros(len(taken))


def _average(taken: Floats, inside: Array, counted: Floats) -> tuple[Floats, Floats]:
    return taken.sum(axis=1) / counted, np.abs(taken).sum(axis=1) / counted


def max_pool2d(
    x: Array,
    *,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Definition:
    rows, columns = _sliding(x, kernel_size, stride, padding, dilation, ceil_mode)
    return _pool(x, rows, columns, _maximum)


def avg_pool2d(
    x: Array,
    *,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Definition:
    def mean(taken: Floats, inside: Array, counted: Floats) -> tuple[Floats, Floats]:
        if not count_include_pad:
            counted = inside.sum(axis=1).astype(np.float64)
        if divisor_override is not None:
            counted = np.full(len(taken), float(divisor_override))
        return _average(taken, inside, counted)

    rows, columns = _sliding(x, kernel_size, stride, padding, 1, ceil_mode)
    return _pool(x, rows, columns, mean)


def adaptive_avg_pool2d(x: Array, *, output_size: Any) -> Definition:
    return _pool(x, *_adaptive(x, output_size), _average)


def adaptive_max_pool2d(x: Array, *, output_size: Any) -> Definition:
    return _pool(x, *_adaptive(x, output_size), _maximum)


def global_avg_pool2d(x: Array) -> Definition:
    return adaptive_avg_pool2d(x, output_size=1)


def global_max_pool2d(x: Array) -> Definition:
    return adaptive_max_pool2d(x, output_size=1)


def _adaptive(x: Array, output_size: Any) -> tuple[Axis, Axis]:
    rows, columns = map(
        _adaptive_axis, x.shape[2:], (n or s for n, s in zip(pair(output_size), x.shape[2:], strict=True))
    )
    return rows, columns


def lp_pool2d(
    x: Array,
    *,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
    padding: Any = 0,
    dilation: Any = 1,
) -> Definition:
    extent = math.prod(d * (k - 1) + 1 for k, d in zip(pair(kernel_size), pair(dilation), strict=True))

    def norm(taken: Floats, inside: Array, counted: Floats) -> tuple[Floats, Floats]:
        if norm_type == math.inf:
            return np.abs(taken).max(axis=1), np.zeros(len(taken))
        scale = extent / counted if ceil_mode else 1.0  # what is cut short counts as much as a full window
        value = (scale * (np.abs(taken) ** norm_type).sum(axis=1)) ** (1 / norm_type)
        return value, value

    rows, columns = _sliding(x, kernel_size, stride, padding, dilation, ceil_mode)
    return _pool(x, rows, columns, norm)
