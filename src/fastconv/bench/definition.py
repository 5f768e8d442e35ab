"""Operations from their definitions, in float64, at chosen elements of the result. Called by `check.py`.

Independent of all backends: every element is a sum (or maximum) over the pixels and weights that the formula names.
Arrays are NCHW.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import geometry
from fastconv.bench.layer import Array, Pair, Shape

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Where = tuple[Indices, ...]  # one array for each axis of the result
Sides = tuple[Pair, Pair]


@dataclass(frozen=True)
class Definition:
    """A result of that shape; `at` gives some of its elements, and for each the sum of its terms' absolute values.

    That sum is what rounding errors grow with: 0 for elements that are copied. An element has `terms` terms.
    """

    shape: Shape
    terms: int
    at: Callable[[Where], tuple[Floats, Floats]]


def pair(value: Any) -> Pair:
    return value if isinstance(value, tuple) else (value, value)


def sides(padding: Any, size: Pair, kernel: Pair, stride: Pair = (1, 1), dilation: Pair = (1, 1)) -> Sides:
    """((top, bottom), (left, right)) of a padding argument."""
    if padding == "same":
        return geometry.same_padding(size, kernel, stride, dilation)
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "full":
        rows, columns = (d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
        return (rows, rows), (columns, columns)
    vertical, horizontal = pair(padding)
    return pair(vertical), pair(horizontal)


def _sums(terms: Array, *axes: int) -> tuple[Floats, Floats]:
    return terms.sum(axes), np.abs(terms).sum(axes)


def _with_bias(sums: tuple[Floats, Floats], bias: Array | None, channel: Indices) -> tuple[Floats, Floats]:
    if bias is None:
        return sums
    added = bias[channel].astype(np.float64)
    return sums[0] + added, sums[1] + np.abs(added)


def _pixels(x: Array, n: Indices, channels: Indices, rows: Indices, columns: Indices) -> Floats:
    """(P, C, kH, kW) of (P,), (P, C), (P, kH) and (P, kW); zero outside of the image."""
    height, width = x.shape[2:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    taken = x[
        n[:, None, None, None],
        channels[:, :, None, None],
        rows.clip(0, height - 1)[:, None, :, None],
        columns.clip(0, width - 1)[:, None, None, :],
    ]
    return np.where(inside[:, None], taken, 0).astype(np.float64)


def _reach(index: Indices, kernel: int, stride: int, before: int, dilation: int) -> Indices:
    """(P, kernel): the pixels that output `index` reads along one axis."""
    return index[:, None] * stride - before + np.arange(kernel) * dilation


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Definition:
    filters, per_group, *kernel = weight.shape
    stride, dilation = pair(stride), pair(dilation)
    (top, bottom), (left, right) = sides(padding, x.shape[2:], (kernel[0], kernel[1]), stride, dilation)
    pads = ((top, bottom), (left, right))
    size = geometry.conv_output_size(x.shape[2:], (kernel[0], kernel[1]), stride, pads, dilation)

    def at(where: Where) -> tuple[Floats, Floats]:
        n, k, i, j = where
        channels = (k // (filters // groups) * per_group)[:, None] + np.arange(per_group)
        rows = _reach(i, kernel[0], stride[0], top, dilation[0])
        columns = _reach(j, kernel[1], stride[1], left, dilation[1])
        return _with_bias(_sums(_pixels(x, n, channels, rows, columns) * weight[k], 1, 2, 3), bias, k)

    return Definition((x.shape[0], filters, *size), math.prod(weight.shape[1:]), at)


def depthwise_conv2d(x: Array, weight: Array, bias: Array | None = None, **options: Any) -> Definition:
    return conv2d(x, weight, bias, **options, groups=x.shape[1])


def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Definition:
    _, per_group, *taps = weight.shape
    kernel, stride, dilation = (taps[0], taps[1]), pair(stride), pair(dilation)
    size = geometry.conv_transpose_output_size(x.shape[2:], kernel, stride, padding, output_padding, dilation)
    # "same" is that of the convolution from the result back to `x`.
    (top, _), (left, _) = sides(padding, size if padding == "same" else x.shape[2:], kernel, stride, dilation)
    shape = (x.shape[0], per_group * groups, *size)
    return _scattered(x, weight, bias, shape, (top, left), stride, dilation, groups)


def _scattered(
    x: Array,
    weight: Array,
    bias: Array | None,
    shape: Shape,
    before: Pair,
    stride: Pair,
    dilation: Pair,
    groups: int,
) -> Definition:
    """Each pixel of `x` adds the kernel at `pixel * stride - before`; `weight` is (C_in, C_out // groups, kH, kW)."""
    channels_in, per_group, *kernel = weight.shape

    def sources(index: Indices, axis: int) -> Indices:
        """The pixel of `x` that meets each tap at that place of the result; -1 where there is none."""
        place = index[:, None] + before[axis] - np.arange(kernel[axis]) * dilation[axis]
        return np.where(place % stride[axis] == 0, place // stride[axis], -1)

    def at(where: Where) -> tuple[Floats, Floats]:
        n, o, i, j = where
        inputs = (o // per_group * (channels_in // groups))[:, None] + np.arange(channels_in // groups)
        taps = weight[inputs, (o % per_group)[:, None]]
        return _with_bias(_sums(_pixels(x, n, inputs, sources(i, 0), sources(j, 1)) * taps, 1, 2, 3), bias, o)

    return Definition(shape, channels_in // groups * math.prod(kernel), at)


def _correlated(
    small: Array, large: Array, shape: Shape, before: Pair, stride: Pair, dilation: Pair
) -> Definition:
    """The weight gradient of both: sum over the pixels of `small` times those of `large` at that tap's distance.

    ``small`` has `shape[0]` channels; ``large`` has `shape[1]` for each group.
    """
    groups = large.shape[1] // shape[1]

    def overlap(tap: int, axis: int) -> tuple[slice, slice]:
        """Pixels of `small`, and those of `large`, which all lie in the image."""
        start, step = tap * dilation[axis] - before[axis], stride[axis]
        first = max(0, -(start // step))
        count = max(0, min(small.shape[2 + axis], -((start - large.shape[2 + axis]) // step)) - first)
        begin = start + first * step
        return slice(first, first + count), slice(begin, begin + count * step, step) if count else slice(0)

    def at(where: Where) -> tuple[Floats, Floats]:
        found = np.empty((2, len(where[0])))
        for place, (k, c, r, s) in enumerate(zip(*where, strict=True)):
            (i, rows), (j, columns) = overlap(r, 0), overlap(s, 1)
            channel = k // (shape[0] // groups) * shape[1] + c
            terms = np.multiply(small[:, k, i, j], large[:, channel, rows, columns], dtype=np.float64)
            found[:, place] = terms.sum(), np.abs(terms, out=terms).sum()
        return found[0], found[1]

    return Definition(shape, small.size // small.shape[1], at)


def _channel_sums(grad: Array) -> Definition:
    def at(where: Where) -> tuple[Floats, Floats]:
        found = [_sums(grad[:, k].astype(np.float64), 0, 1, 2) for k in where[0]]
        return np.array([value for value, _ in found]), np.array([bound for _, bound in found])

    return Definition((grad.shape[1],), grad.size // grad.shape[1], at)


def conv2d_gradients(
    x: Array,
    weight: Array,
    grad: Array,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Definition, ...]:
    """Those of `x`, `weight` and `bias`."""
    stride, dilation = pair(stride), pair(dilation)
    (top, _), (left, _) = sides(padding, x.shape[2:], weight.shape[2:], stride, dilation)
    return (
        _scattered(grad, weight, None, x.shape, (top, left), stride, dilation, groups),
        _correlated(grad, x, weight.shape, (top, left), stride, dilation),
        _channel_sums(grad),
    )


def depthwise_conv2d_gradients(
    x: Array, weight: Array, grad: Array, **options: Any
) -> tuple[Definition, ...]:
    return conv2d_gradients(x, weight, grad, **options, groups=x.shape[1])


def conv_transpose2d_gradients(
    x: Array,
    weight: Array,
    grad: Array,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> tuple[Definition, ...]:
    """Those of `x`, `weight` and `bias`; `output_padding` is in the shape of `grad`."""
    stride, dilation = pair(stride), pair(dilation)
    size = grad.shape[2:] if padding == "same" else x.shape[2:]
    pads = sides(padding, size, weight.shape[2:], stride, dilation)
    # What the convolution back would read beyond `grad` is its padding; with `output_padding` it reads less.
    (top, _), (left, _) = pads
    back = conv2d(grad, weight, stride=stride, padding=pads, dilation=dilation, groups=groups)
    return (
        Definition(x.shape, back.terms, back.at),
        _correlated(x, grad, weight.shape, (top, left), stride, dilation),
        _channel_sums(grad),
    )


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
        taken = _pixels(x, n, c[:, None], down, across).reshape(len(n), -1)
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
        return np.minimum(start + kernel, size + pads[1]) - start

    return Axis(count, kernel, lambda index: _reach(index, kernel, stride, pads[0], dilation), counted)


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


# By the names of `fastconv`'s functions, and for the gradients of the rules in `fastconv.grad`.
FORWARD: dict[str, Callable[..., Definition]] = {
    function.__name__: function
    for function in (
        conv2d, depthwise_conv2d, conv_transpose2d, max_pool2d, avg_pool2d,
        adaptive_avg_pool2d, adaptive_max_pool2d, global_avg_pool2d, global_max_pool2d,
    )
}  # fmt: skip
GRADIENTS: dict[str, Callable[..., tuple[Definition, ...]]] = {
    "conv2d": conv2d_gradients,
    "depthwise_conv2d": depthwise_conv2d_gradients,
    "conv_transpose2d": conv_transpose2d_gradients,
}
