"""Convolutions and transposed convolutions, and their gradients."""

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
from fastconv.bench.layer import Pair, Shape
from fastconv.typing import Array


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
        rows = reach(i, kernel[0], stride[0], top, dilation[0])
        columns = reach(j, kernel[1], stride[1], left, dilation[1])
        return with_bias(sums(pixels_of(x, n, channels, rows, columns) * weight[k], 1, 2, 3), bias, k)

    return Definition((x.shape[0], filters, *size), math.prod(weight.shape[1:]), at)


def depthwise_conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
) -> Definition:
    return conv2d(x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=x.shape[1])


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

    def at(where: Where) -> tuple[Floats, Floats]:
        n, o, i, j = where
        inputs = (o // per_group * (channels_in // groups))[:, None] + np.arange(channels_in // groups)
        taps = weight[inputs, (o % per_group)[:, None]]
        rows, columns = (
            sources(index, kernel[axis], stride[axis], before[axis], dilation[axis])
            for axis, index in enumerate((i, j))
        )
        return with_bias(sums(pixels_of(x, n, inputs, rows, columns) * taps, 1, 2, 3), bias, o)

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
        found = [sums(grad[:, k].astype(np.float64), 0, 1, 2) for k in where[0]]
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
    x: Array, weight: Array, grad: Array, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> tuple[Definition, ...]:
    return conv2d_gradients(
        x, weight, grad, stride=stride, padding=padding, dilation=dilation, groups=x.shape[1]
    )


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


def separable_conv2d(
    x: Array,
    depthwise_weight: Array,
    pointwise_weight: Array,
    bias: Array | None = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
) -> Definition:
    spatial = depthwise_conv2d(x, depthwise_weight, stride=stride, padding=padding, dilation=dilation)
    filters, channels = pointwise_weight.shape[:2]

    def at(where: Where) -> tuple[Floats, Floats]:
        n, k, i, j = where
        points = len(n), channels
        c = np.tile(np.arange(channels), len(n))
        values, bound = spatial.at((n.repeat(channels), c, i.repeat(channels), j.repeat(channels)))
        taps = pointwise_weight[k, :, 0, 0].astype(np.float64)
        found = (values.reshape(points) * taps).sum(1), (bound.reshape(points) * np.abs(taps)).sum(1)
        return with_bias(found, bias, k)

    return Definition((x.shape[0], filters, *spatial.shape[2:]), spatial.terms * channels, at)


def _row(padding: Any) -> Any:
    return padding if isinstance(padding, str) else ((0, 0), pair(padding))


def _without_row(image: Definition) -> Definition:
    n, c, _, length = image.shape
    return Definition(
        (n, c, length), image.terms, lambda where: image.at((*where[:2], np.zeros_like(where[2]), where[2]))
    )


def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: Any = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Definition:
    options: dict[str, Any] = {"stride": (1, stride), "dilation": (1, dilation), "groups": groups}
    return _without_row(conv2d(x[:, :, None], weight[:, :, None], bias, padding=_row(padding), **options))


def conv_transpose1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: Any = 0,
    output_padding: int = 0,
    groups: int = 1,
    dilation: int = 1,
) -> Definition:
    options: dict[str, Any] = {"stride": (1, stride), "dilation": (1, dilation), "groups": groups}
    options |= {"padding": _row(padding), "output_padding": (0, output_padding)}
    return _without_row(conv_transpose2d(x[:, :, None], weight[:, :, None], bias, **options))
