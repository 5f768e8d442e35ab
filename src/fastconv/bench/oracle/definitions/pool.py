"""Poolings: the maximum, mean, norm or a random pixel of each window."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.bench.oracle.definitions.common import Array, Box, Definition, Indices, Part
from fastconv.bench.oracle.definitions.windows import (
    AxisWindows,
    adaptive_axes,
    effective,
    inside,
    pair,
    pixels,
    sliding_axes,
)

Picked = Definition | tuple[Definition, Definition]
Axes = tuple[AxisWindows, AxisWindows]
# Of pixels (N, C, I, J, T), which of them are inside (I, J, T), and the grid: the value, and its bound.
Reduce = Callable[[Array, Array, Box], Part]
# Of the same: which of the T pixels is taken.
Pick = Callable[[Array, Array, Box], Indices]


def windows_at(x: Array, axes: Axes, box: Box) -> tuple[Array, Array, Array]:
    """The pixels of the windows (N, C, I, J, T), which are inside (I, J, T), and where in its plane each lies."""
    n, c, i, j = box
    rows, columns = axes[0].pixels[i], axes[1].pixels[j]
    shape = len(i), len(j), rows.shape[1] * columns.shape[1]
    taken = np.swapaxes(pixels(x, n, c, rows, columns), 3, 4).reshape(len(n), len(c), *shape)
    is_pixel = inside(rows, x.shape[2])[:, None, :, None] & inside(columns, x.shape[3])[:, None]
    place = rows[:, None, :, None] * x.shape[3] + columns[:, None]
    return taken, is_pixel.reshape(shape), place.reshape(shape)


def reduced(x: Array, axes: Axes, reduce: Reduce) -> Definition:
    """A result with an element for each window."""

    def at(box: Box) -> Part:
        taken, is_pixel, _ = windows_at(x, axes, box)
        return reduce(taken.astype(np.float64), is_pixel, box)

    return Definition((*x.shape[:2], axes[0].count, axes[1].count), _terms(axes), at)


def picked(x: Array, axes: Axes, pick: Pick) -> tuple[Definition, Definition]:
    """One pixel of each window, and where in its plane it lies."""

    def at(box: Box) -> tuple[Array, Array]:
        taken, is_pixel, place = windows_at(x, axes, box)
        chosen = pick(taken, is_pixel, box)[..., None]
        where = np.take_along_axis(np.broadcast_to(place, taken.shape), chosen, -1)
        return np.take_along_axis(taken, chosen, -1)[..., 0], where[..., 0].astype(np.int64)

    def value(box: Box) -> Part:
        values, _ = at(box)
        return values, np.zeros(values.shape)

    def index(box: Box) -> Part:
        _, indices = at(box)
        return indices, np.zeros(indices.shape)

    shape = *x.shape[:2], axes[0].count, axes[1].count
    return Definition(shape, _terms(axes), value), Definition(shape, _terms(axes), index)


def _terms(axes: Axes) -> int:
    return max(1, int(axes[0].pixels.shape[1] * axes[1].pixels.shape[1]))


def first_maximum(taken: Array, is_pixel: Array, box: Box) -> Indices:
    """The first of equals, the last of NaNs."""
    if not taken.size:
        return np.zeros(taken.shape[:-1], np.int64)
    first = np.broadcast_to(is_pixel.argmax(-1)[..., None], (*taken.shape[:-1], 1))
    filled = np.where(is_pixel, taken, np.take_along_axis(taken, first, -1))
    largest: Indices = (is_pixel & (filled == filled.max(-1, keepdims=True))).argmax(-1)
    if filled.dtype.kind not in "fV":
        return largest
    nan = is_pixel & np.isnan(filled)
    last: Indices = nan.shape[-1] - 1 - nan[..., ::-1].argmax(-1)
    return np.where(nan.any(-1), last, largest)


def max_pool2d(
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Picked:
    axes = sliding_axes(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    both = picked(x, axes, first_maximum)
    return both if return_indices else both[0]


def avg_pool2d(
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Definition:
    axes = sliding_axes(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    return reduced(x, axes, _mean(divisors(axes, count_include_pad, divisor_override)))


def divisors(axes: Axes, count_include_pad: bool = True, divisor_override: int | None = None) -> Array:
    """(I, J): what the sum of each window is divided by."""
    rows, columns = (
        axis.extent if count_include_pad else inside(axis.pixels, axis.size).sum(1) for axis in axes
    )
    counted = np.multiply.outer(rows, columns).astype(np.float64)
    return counted if divisor_override is None else np.full_like(counted, divisor_override)


def _mean(divisor: Array) -> Reduce:
    def mean(taken: Array, is_pixel: Array, box: Box) -> Part:
        counted = divisor[np.ix_(box[2], box[3])]
        return taken.sum(-1) / counted, np.abs(taken).sum(-1) / np.abs(counted)

    return mean


def lp_pool2d(
    x: Array,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
    *,
    padding: Any = 0,
    dilation: Any = 1,
) -> Definition:
    axes = sliding_axes(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    scale = lp_scale(axes, kernel_size, dilation, ceil_mode)

    def norm(taken: Array, is_pixel: Array, box: Box) -> Part:
        if norm_type == math.inf:
            largest = np.abs(taken).max(-1, initial=0)
            return largest, np.zeros(largest.shape)
        scaled = scale[np.ix_(box[2], box[3])] * (np.abs(taken) ** norm_type).sum(-1)
        value = scaled ** (1 / norm_type)
        return value, value

    return reduced(x, axes, norm)


def lp_scale(axes: Axes, kernel_size: Any, dilation: Any, ceil_mode: bool) -> Array:
    """(I, J): with `ceil_mode`, what is cut short counts as much as a full window."""
    extent = math.prod(effective(k, d) for k, d in zip(pair(kernel_size), pair(dilation), strict=True))
    counted = np.multiply.outer(axes[0].extent, axes[1].extent)
    return extent / counted if ceil_mode else np.ones(counted.shape)


def adaptive_avg_pool2d(x: Array, output_size: Any) -> Definition:
    axes = adaptive_axes(x.shape[2:], output_size)
    return reduced(x, axes, _mean(divisors(axes)))


def adaptive_max_pool2d(x: Array, output_size: Any, return_indices: bool = False) -> Picked:
    both = picked(x, adaptive_axes(x.shape[2:], output_size), first_maximum)
    return both if return_indices else both[0]


def global_avg_pool2d(x: Array, *, keepdims: bool = True) -> Definition:
    mean = adaptive_avg_pool2d(x, 1)
    return mean if keepdims else _of_planes(mean)


def global_max_pool2d(x: Array, return_indices: bool = False, *, keepdims: bool = True) -> Picked:
    both = picked(x, adaptive_axes(x.shape[2:], 1), first_maximum)
    value, index = both if keepdims else map(_of_planes, both)
    return (value, index) if return_indices else value


def _of_planes(result: Definition) -> Definition:
    """(N, C) of (N, C, 1, 1)."""
    zero = np.zeros(1, np.int64)

    def at(box: Box) -> Part:
        values, bound = result.at([*box, zero, zero])
        return values[..., 0, 0], bound[..., 0, 0]

    return Definition(result.shape[:2], result.terms, at)


def fractional_max_pool2d(
    x: Array,
    kernel_size: Any,
    output_size: Any,
    return_indices: bool = False,
    *,
    random_samples: Array,
) -> Picked:
    """Every plane has windows of its own, from two numbers for the columns and the rows."""
    kernel, (height, width) = pair(kernel_size), pair(output_size)

    def axes(n: int, c: int) -> Axes:
        along_w, along_h = map(float, random_samples[n, c])
        rows = _fractional(x.shape[2], height, kernel[0], along_h)
        return rows, _fractional(x.shape[3], width, kernel[1], along_w)

    def part(which: int) -> Definition:
        def at(box: Box) -> Part:
            n, c, i, j = box
            values = np.zeros(tuple(map(len, box)), x.dtype if which == 0 else np.int64)
            for (a, image), (b, channel) in (
                (first, second) for first in enumerate(n) for second in enumerate(c)
            ):
                one = picked(x, axes(image, channel), first_maximum)[which]
                values[a, b] = one.at([n[a : a + 1], c[b : b + 1], i, j])[0][0, 0]
            return values, np.zeros(values.shape)

        return Definition((*x.shape[:2], height, width), kernel[0] * kernel[1], at)

    return (part(0), part(1)) if return_indices else part(0)


def _fractional(size: int, count: int, kernel: int, sample: float) -> AxisWindows:
    """Graham's pseudo-random intervals, as PyTorch computes them."""
    starts = [size - kernel]
    if count > 1:
        alpha = (size - kernel) / (count - 1)
        starts = [int((i + sample) * alpha) - int(sample * alpha) for i in range(count - 1)] + starts
    return AxisWindows(size, np.array(starts)[:, None] + np.arange(kernel), np.full(count, kernel))


def stochastic_pool2d(
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    return_indices: bool = False,
    *,
    uniforms: Array | None = None,
) -> Picked:
    """Zeiler and Fergus: a pixel, sampled with one uniform number for each output; without these, the weighted mean."""
    axes = sliding_axes(x.shape[2:], kernel_size, stride, padding)

    def weighted(taken: Array, is_pixel: Array, box: Box) -> Part:
        total = taken.sum(-1)
        value = (taken**2).sum(-1) / np.where(total == 0, 1, total)
        return value, np.abs(value)

    def sample(taken: Array, is_pixel: Array, box: Box) -> Indices:
        cumulative = np.where(is_pixel, taken, 0).astype(np.float64).cumsum(-1)
        wanted = np.asarray(uniforms)[np.ix_(*box)][..., None] * cumulative[..., -1:]
        beyond = cumulative > wanted
        chosen: Indices = np.where(beyond.any(-1), beyond.argmax(-1), is_pixel.argmax(-1))
        return chosen

    if uniforms is None:
        return reduced(x, axes, weighted)
    both = picked(x, axes, sample)
    return both if return_indices else both[0]
