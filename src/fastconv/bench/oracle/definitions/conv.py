"""Convolutions and transposed convolutions: sums over channels and taps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.bench.oracle.definitions.common import (
    Array,
    Box,
    Definition,
    Indices,
    Part,
    by_group,
    with_bias,
    without_row,
)
from fastconv.bench.oracle.definitions.pointwise import activated
from fastconv.bench.oracle.definitions.windows import Axis, axes_of, effective, pair, pixels, sides, source


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    padding_value: float = 0.0,
    activation: Any = None,
) -> Definition:
    filters, per_group, *kernel = weight.shape
    rows, columns = axes_of(x.shape[2:], tuple(kernel), stride, padding, dilation)

    def at(box: Box) -> Part:
        n, k, i, j = box
        down, across = (
            source(axis.reach(index), axis.size, padding_mode) for axis, index in ((rows, i), (columns, j))
        )
        values, bound = _zeros(box)
        for group, places in by_group(k // (filters // groups)):
            channels = np.arange(group * per_group, (group + 1) * per_group)
            patch = pixels(x, n, channels, down, across, padding_value).astype(np.float64)
            taps = weight[k[places]].astype(np.float64)
            values[:, places] = _sums(patch, taps)
            bound[:, places] = _sums(np.abs(patch), np.abs(taps))
        return with_bias((values, bound), bias, k)

    shape = x.shape[0], filters, rows.count, columns.count
    return activated(Definition(shape, math.prod(weight.shape[1:]), at, whole=(1,)), activation)


def _sums(patch: Array, taps: Array) -> Array:
    """(N, C, I, kH, J, kW) by (K, C, kH, kW) to (N, K, I, J)."""
    return np.moveaxis(np.tensordot(patch, taps, ((1, 3, 5), (1, 2, 3))), 3, 1)


def _zeros(box: Box) -> tuple[Array, Array]:
    shape = tuple(map(len, box))
    return np.zeros(shape), np.zeros(shape)


def depthwise_conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    *,
    padding_mode: str = "zeros",
    padding_value: float = 0.0,
    activation: Any = None,
) -> Definition:
    groups = x.shape[1]
    words = {"padding_mode": padding_mode, "padding_value": padding_value, "activation": activation}
    return conv2d(x, weight, bias, stride, padding, dilation, groups, **words)


def separable_conv2d(
    x: Array,
    depthwise_weight: Array,
    pointwise_weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    *,
    padding_mode: str = "zeros",
    padding_value: float = 0.0,
    activation: Any = None,
) -> Definition:
    spatial = depthwise_conv2d(
        x, depthwise_weight, None, stride, padding, dilation,
        padding_mode=padding_mode, padding_value=padding_value,
    )  # fmt: skip
    taps = pointwise_weight[:, :, 0, 0].astype(np.float64)

    def at(box: Box) -> Part:
        n, k, i, j = box
        between, magnitude = spatial.at([n, np.arange(taps.shape[1]), i, j])
        values = np.einsum("ncij,kc->nkij", between, taps[k])
        return with_bias((values, np.einsum("ncij,kc->nkij", magnitude, np.abs(taps[k]))), bias, k)

    shape = x.shape[0], taps.shape[0], *spatial.shape[2:]
    return activated(Definition(shape, spatial.terms * taps.shape[1], at, whole=(1,)), activation)


def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    activation: Any = None,
) -> Definition:
    """Every pixel scatters the weights, scaled by itself; then the padding is cropped."""
    kernel, stride, dilation = weight.shape[2:], pair(stride), pair(dilation)
    if padding == "same":  # the gradient of a "same" convolution of an image of size * stride pixels
        size = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
        crop = sides(padding, size, kernel, stride, dilation)
    else:
        crop = sides(padding, x.shape[2:], kernel, stride, dilation)
        size = [
            (n - 1) * s + effective(k, d) - sum(cut) + extra
            for n, s, k, d, cut, extra in zip(
                x.shape[2:], stride, kernel, dilation, crop, pair(output_padding), strict=True
            )
        ]
    axes = [
        Axis(n, k, s, *cut, d) for n, k, s, cut, d in zip(size, kernel, stride, crop, dilation, strict=True)
    ]
    return activated(scattered(x, weight, bias, axes, groups), activation)


def scattered(x: Array, weight: Array, bias: Array | None, axes: Sequence[Axis], groups: int) -> Definition:
    """Each pixel of `x` adds the kernel, scaled by itself, where the window of its index lies on the `axes`.

    The weights are (C_in, C_out // groups, kH, kW).
    """
    rows, columns = axes
    inputs, per_group = weight.shape[0] // groups, weight.shape[1]

    def at(box: Box) -> Part:
        n, o, i, j = box
        values, bound = _zeros(box)
        down, across = list(rows.hits(i, x.shape[2])), list(columns.hits(j, x.shape[3]))
        channels = (o // per_group * inputs)[:, None] + np.arange(inputs)
        for a, i_places, r in down:
            for b, j_places, c in across:
                taps = weight[channels, (o % per_group)[:, None], a, b].astype(np.float64)
                added, magnitude = _mixed(x, n, channels, r, c, taps)
                values[:, :, i_places[:, None], j_places] += added
                bound[:, :, i_places[:, None], j_places] += magnitude
        return with_bias((values, bound), bias, o)

    shape = x.shape[0], per_group * groups, rows.size, columns.size
    taps = math.prod(-(-axis.kernel // axis.stride) for axis in axes)
    return Definition(shape, inputs * taps, at, in_turns=True)


def _mixed(x: Array, n: Indices, channels: Indices, rows: Indices, columns: Indices, taps: Array) -> Part:
    """(N, O, I, J): the sum over the `channels` (O, C) of each output, times its `taps` (O, C)."""
    found = np.zeros((2, len(n), len(channels), len(rows), len(columns)))
    groups = list(by_group(channels[:, 0]))
    if channels.shape[1] < len(groups):  # all groups at once, one of their channels after the other
        for c, tap in zip(channels.T, taps.T, strict=True):
            product = x[np.ix_(n, c, rows, columns)] * tap[:, None, None]
            found += product, np.abs(product)
    else:
        for _, places in groups:
            piece = x[np.ix_(n, channels[places[0]], rows, columns)].astype(np.float64)
            found[0][:, places] = np.tensordot(taps[places], piece, (1, 1)).swapaxes(0, 1)
            found[1][:, places] = np.tensordot(np.abs(taps[places]), np.abs(piece), (1, 1)).swapaxes(0, 1)
    return found[0], found[1]


def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    padding: Any = 0,
    dilation: int = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    padding_value: float = 0.0,
    activation: Any = None,
) -> Definition:
    options: dict[str, Any] = {
        "stride": (1, stride),
        "padding": row_padding(padding),
        "dilation": (1, dilation),
    }
    options |= {"groups": groups, "padding_mode": padding_mode, "padding_value": padding_value}
    options["activation"] = activation
    return without_row(conv2d(x[:, :, None], weight[:, :, None], bias, **options))


def conv_transpose1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    padding: Any = 0,
    output_padding: int = 0,
    groups: int = 1,
    dilation: int = 1,
    *,
    activation: Any = None,
) -> Definition:
    options: dict[str, Any] = {
        "stride": (1, stride),
        "padding": row_padding(padding),
        "dilation": (1, dilation),
    }
    options |= {"output_padding": (0, output_padding), "groups": groups, "activation": activation}
    return without_row(conv_transpose2d(x[:, :, None], weight[:, :, None], bias, **options))


def row_padding(padding: Any) -> Any:
    """The padding of a signal as that of an image with one row."""
    return padding if isinstance(padding, str) else ((0, 0), pair(padding))
