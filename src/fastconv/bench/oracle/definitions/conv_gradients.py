"""The gradients of convolutions: what each product of the forward sum sends back to its two factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastconv.bench.oracle.definitions.common import Array, Box, Definition, Part, by_group, without_row
from fastconv.bench.oracle.definitions.conv import (
    conv2d,
    conv_transpose2d,
    depthwise_conv2d,
    row_padding,
    scattered,
    separable_conv2d,
)
from fastconv.bench.oracle.definitions.move import unpadded
from fastconv.bench.oracle.definitions.pointwise import slopes
from fastconv.bench.oracle.definitions.windows import Axis, axes_of, inside, sides, source

Gradients = tuple[Definition, ...]


def conv2d_gradients(
    x: Array,
    weight: Array,
    grad_output: Array,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    padding_value: float = 0.0,
    bias: Array | None = None,
    activation: Any = None,
) -> Gradients:
    """Those of `x`, `weight` and `bias`."""
    if activation is not None:
        options: dict[str, Any] = {"padding_mode": padding_mode, "padding_value": padding_value}
        sums = conv2d(x, weight, bias, stride, padding, dilation, groups, **options)
        grad_output = _before_activation(grad_output, sums, activation)
    axes = axes_of(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    around = tuple((axis.before, axis.after) for axis in axes)
    # The image with its padding around it, of which each pixel is one of the image's, or none.
    padded = [replace(axis, size=axis.size + axis.before + axis.after, before=0, after=0) for axis in axes]
    image = scattered(grad_output, weight, None, padded, groups)
    return (
        unpadded(image, x.shape[2:], around, padding_mode),
        _correlated(grad_output, x, weight.shape, axes, padding_mode)
        if padding_mode != "constant"
        else _correlated(grad_output, _filled(x, around, padding_value), weight.shape, padded, "zeros"),
        conv2d_bias_gradient(grad_output),
    )


def _filled(x: Array, around: Any, value: float) -> Array:
    return np.pad(x.astype(np.float64), ((0, 0), (0, 0), *around), constant_values=value)


def depthwise_conv2d_gradients(
    x: Array,
    weight: Array,
    grad_output: Array,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    *,
    padding_mode: str = "zeros",
    padding_value: float = 0.0,
    bias: Array | None = None,
    activation: Any = None,
) -> Gradients:
    options: dict[str, Any] = {"padding_mode": padding_mode, "padding_value": padding_value}
    options |= {"bias": bias, "activation": activation}
    return conv2d_gradients(x, weight, grad_output, stride, padding, dilation, x.shape[1], **options)


def separable_conv2d_gradients(
    x: Array,
    depthwise_weight: Array,
    pointwise_weight: Array,
    grad_output: Array,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    *,
    padding_mode: str = "zeros",
    padding_value: float = 0.0,
    bias: Array | None = None,
    activation: Any = None,
) -> Gradients:
    """Those of `x`, both weights and `bias`, by way of the image between the two convolutions."""
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    options |= {"padding_mode": padding_mode, "padding_value": padding_value}
    if activation is not None:
        sums = separable_conv2d(x, depthwise_weight, pointwise_weight, bias, **options)
        grad_output = _before_activation(grad_output, sums, activation)
    between, between_bound = depthwise_conv2d(x, depthwise_weight, **options).everywhere()
    magnitudes: dict[str, Any] = options | {"padding_value": abs(padding_value)}
    second = _bounded(
        conv2d_gradients(between, pointwise_weight, grad_output),
        conv2d_gradients(between_bound, np.abs(pointwise_weight), np.abs(grad_output)),
    )
    grad_between, grad_bound = second[0].everywhere()
    first = _bounded(
        depthwise_conv2d_gradients(x, depthwise_weight, grad_between, **options),
        depthwise_conv2d_gradients(np.abs(x), np.abs(depthwise_weight), grad_bound, **magnitudes),
    )
    return *first[:2], *second[1:]


def _bounded(exact: Gradients, magnitudes: Gradients) -> Gradients:
    """The values of the first and the bounds of the second, which knows what its arguments were summed from."""

    def both(one: Definition, other: Definition) -> Definition:
        return replace(one, at=lambda box: (one.at(box)[0], other.at(box)[1]))

    return tuple(map(both, exact, magnitudes))


def conv_transpose2d_gradients(
    x: Array,
    weight: Array,
    grad_output: Array,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    bias: Array | None = None,
    activation: Any = None,
) -> Gradients:
    """Those of `x`, `weight` and `bias`: what the pixels scattered is collected, as by a convolution."""
    if activation is not None:
        options: tuple[Any, ...] = stride, padding, output_padding, groups, dilation
        grad_output = _before_activation(grad_output, conv_transpose2d(x, weight, bias, *options), activation)
    size = grad_output.shape[2:] if padding == "same" else x.shape[2:]
    # What the convolution back would read beyond `grad_output` is its padding; with `output_padding` it reads less.
    crop = sides(padding, size, weight.shape[2:], stride, dilation)
    axes = axes_of(grad_output.shape[2:], weight.shape[2:], stride, crop, dilation)
    back = conv2d(grad_output, weight, None, stride, crop, dilation, groups)
    return (
        replace(back, shape=x.shape),
        _correlated(x, grad_output, weight.shape, axes, "zeros"),
        conv2d_bias_gradient(grad_output),
    )


def conv1d_gradients(
    x: Array,
    weight: Array,
    grad_output: Array,
    stride: int = 1,
    padding: Any = 0,
    dilation: int = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    padding_value: float = 0.0,
    bias: Array | None = None,
    activation: Any = None,
) -> Gradients:
    options: dict[str, Any] = {
        "stride": (1, stride),
        "padding": row_padding(padding),
        "dilation": (1, dilation),
    }
    options |= {"groups": groups, "padding_mode": padding_mode, "padding_value": padding_value}
    options |= {"bias": bias, "activation": activation}
    return _signals(conv2d_gradients(x[:, :, None], weight[:, :, None], grad_output[:, :, None], **options))


def conv_transpose1d_gradients(
    x: Array,
    weight: Array,
    grad_output: Array,
    stride: int = 1,
    padding: Any = 0,
    output_padding: int = 0,
    groups: int = 1,
    dilation: int = 1,
    *,
    bias: Array | None = None,
    activation: Any = None,
) -> Gradients:
    options: dict[str, Any] = {
        "stride": (1, stride),
        "padding": row_padding(padding),
        "dilation": (1, dilation),
    }
    options |= {
        "output_padding": (0, output_padding),
        "groups": groups,
        "bias": bias,
        "activation": activation,
    }
    images = x[:, :, None], weight[:, :, None], grad_output[:, :, None]
    return _signals(conv_transpose2d_gradients(*images, **options))


def _signals(gradients: Gradients) -> Gradients:
    return tuple(without_row(g) if len(g.shape) == 4 else g for g in gradients)


def _before_activation(grad_output: Array, sums: Definition, activation: Any) -> Array:
    return grad_output.astype(np.float64) * slopes(sums.everywhere()[0], activation)


def conv2d_bias_gradient(grad_output: Array) -> Definition:
    """The sum over images and pixels."""

    def at(box: Box) -> Part:
        chosen = grad_output[:, box[0]].astype(np.float64)
        axes = (0, *range(2, chosen.ndim))
        return chosen.sum(axes), np.abs(chosen).sum(axes)

    channels = grad_output.shape[1]
    return Definition((channels,), grad_output.size // max(1, channels), at)


def _correlated(
    small: Array, large: Array, shape: tuple[int, ...], axes: Sequence[Axis], padding_mode: str
) -> Definition:
    """The gradient of weights: over the windows, the sum of `small` times the pixel of `large` that the tap reads.

    ``small`` has `shape[0]` channels; ``large`` has `shape[1]` for each group.
    """
    groups = large.shape[1] // shape[1]
    per_group = shape[0] // groups

    def reads(axis: Axis, count: int, tap: int) -> tuple[Array, Array]:
        """The windows whose tap reads a pixel, and that pixel."""
        position = np.arange(count) * axis.stride - axis.before + tap * axis.dilation
        pixel = source(position, axis.size, padding_mode)
        windows = np.flatnonzero(inside(pixel, axis.size))
        return windows, pixel[windows]

    def at(box: Box) -> Part:
        k, c, a, b = box
        found = np.zeros((2, *map(len, box)))
        for row, down in enumerate(a):
            i, rows = reads(axes[0], small.shape[2], int(down))
            for column, across in enumerate(b):
                j, columns = reads(axes[1], small.shape[3], int(across))
                channels = k // per_group * shape[1] + c[:, None]
                found[..., row, column] = _products(small, (k, i, j), large, (channels, rows, columns))
        return found[0], found[1]

    return Definition(shape, max(1, small.size // max(1, small.shape[1])), at, whole=(0, 1))


def _products(small: Array, mine: Any, large: Array, theirs: Any) -> Part:
    """(K, C): sums over images and pixels of the channels (K,) of `small` times those (C, K) of `large`."""
    (k, *windows), (channels, *pixels) = mine, theirs
    images = np.arange(len(small))
    found = np.zeros((2, len(k), len(channels)))
    factor = small[np.ix_(images, k, *windows)].astype(np.float64)
    groups = list(by_group(channels[0])) if len(channels) else []
    if len(channels) < len(groups):  # all groups at once, one of their channels after the other
        for place, channel in enumerate(channels):
            product = factor * large[np.ix_(images, channel, *pixels)]
            found[:, :, place] = product.sum((0, 2, 3)), np.abs(product).sum((0, 2, 3))
    else:
        over = ((0, 2, 3), (0, 2, 3))
        for _, places in groups:
            other = large[np.ix_(images, channels[:, places[0]], *pixels)].astype(np.float64)
            found[0][places] = np.tensordot(factor[:, places], other, over)
            found[1][places] = np.tensordot(np.abs(factor[:, places]), np.abs(other), over)
    return found[0], found[1]
