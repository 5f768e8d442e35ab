"""What is not linear, in terms of autograd's NumPy and of `contract`: forward mode and all derivatives beyond the first
follow from these. Called by `rules.py`.
"""

# What autograd.numpy has is made when it is imported:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.extend import defjvp, defvjp, primitive
from autograd.tracer import getval

import fastconv
from fastconv import grad
from fastconv.autograd.primitives import Maps, contract
from fastconv.backends.numpy.activations import apply, normal_share
from fastconv.problem.convolution import ConvOptions
from fastconv.problem.layout import channel_axis, channels_last
from fastconv.problem.options import Activation
from fastconv.settings.precision import get_precision
from fastconv.typing import Array, BackendName, Layout

_sigmoid = primitive(lambda z: apply(Activation("sigmoid"), z))
defvjp(_sigmoid, lambda ans, z: lambda g: g * ans * (1 - ans))
defjvp(_sigmoid, lambda g, ans, z: g * ans * (1 - ans))


def _density(z: Any) -> Any:
    return anp.exp(-0.5 * z * z) * (0.5 / math.pi) ** 0.5


_normal = primitive(lambda z: normal_share(z).astype(z.dtype))  # the distribution function
defvjp(_normal, lambda ans, z: lambda g: g * _density(z))
defjvp(_normal, lambda g, ans, z: g * _density(z))


def activate(activation: Activation, z: Any) -> Any:
    name, a, b = activation
    if name == "relu":
        return anp.clip(z, 0, math.inf)
    if name == "clip":
        return anp.clip(z, a, b)
    if name == "leaky_relu":
        return z * (z > 0) + a * (z * (z <= 0))
    if name == "sigmoid":
        return _sigmoid(z)
    if name == "tanh":
        return 2 * _sigmoid(2 * z) - 1
    if name == "silu":
        return z * _sigmoid(z)
    if name == "hardswish":
        return z * (z + 3) / 6 * (abs(z) <= 3) + z * (z > 3)
    assert name == "gelu", name
    return z * _normal(z)


def lp_norm(x: Any, power: float, window_sum: Maps) -> Any:
    """The L_p norm of every window. Where a pixel or a norm is 0, so are the derivatives."""
    size = anp.abs(x)
    energy = contract(window_sum, (size + (size == 0)) ** power * (size > 0), None)
    return (energy + (energy == 0)) ** (1 / power) * (energy > 0)


def weighted_mean(x: Any, window_sum: Maps) -> Any:
    """Stochastic pooling without training: every window's mean, weighted by its own pixels."""
    total = contract(window_sum, x, None)
    return contract(window_sum, x * x, None) / (total + (total == 0))


def local_response_norm(
    x: Any, size: int, alpha: float, beta: float, k: float, layout: Layout, backend: BackendName | None
) -> Any:
    energy = contract(_channel_sums(x.shape, x.dtype, size, layout, backend), x * x, None)
    return x * (k + alpha / size * energy) ** -beta


def _channel_sums(
    shape: tuple[int, ...], dtype: Any, size: int, layout: Layout, backend: BackendName | None
) -> Maps:
    """Sums over `size` neighbouring channels: a convolution of the image that has the channels as an axis."""
    sides: Any = (size // 2, (size - 1) // 2), (0, 0)
    if channels_last(layout):
        image = (-1, 1, shape[-3] * shape[-2], shape[-1])
        ones, sides = np.ones((1, 1, 1, size), dtype), sides[::-1]
    else:
        image = (-1, 1, shape[-3], shape[-2] * shape[-1])
        ones = np.ones((1, 1, size, 1), dtype)

    def sums(v: Array) -> Array:
        return fastconv.conv2d(v.reshape(image), ones, padding=sides, backend=backend).reshape(shape)

    def transposed(g: Array) -> Array:
        g = g.reshape(image)
        return grad.conv2d_input(g.shape, ones, g, padding=sides, backend=backend).reshape(shape)

    return transposed, sums


def _normalised(v: Any, axes: tuple[int, ...], eps: float) -> Any:
    above = v - anp.mean(v, axes, keepdims=True)
    return above / anp.sqrt(anp.mean(above**2, axes, keepdims=True) + eps)


def _affine(y: Any, weight: Any, bias: Any, shape: tuple[int, ...]) -> Any:
    y = y if weight is None else y * anp.reshape(weight, shape)
    return y if bias is None else y + anp.reshape(bias, shape)


def _beside(layout: Layout) -> tuple[int, ...]:
    """The shape of what there is one of for each channel."""
    return (-1,) if channels_last(layout) else (-1, 1, 1)


def batch_norm(
    x: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    eps: float,
    layout: Layout,
) -> Any:
    shape = _beside(layout)
    if training:
        axes = tuple(axis for axis in range(x.ndim) if axis != x.ndim + channel_axis(layout))
        return _affine(_normalised(x, axes, eps), weight, bias, shape)
    mean, variance = (np.asarray(a, x.dtype).reshape(shape) for a in (running_mean, running_var))
    return _affine((x - mean) / np.sqrt(variance + x.dtype.type(eps)), weight, bias, shape)


def group_norm(x: Any, weight: Any, bias: Any, num_groups: int, eps: float, layout: Layout) -> Any:
    axis = x.ndim + channel_axis(layout)
    view = (*x.shape[:axis], num_groups, x.shape[axis] // num_groups, *x.shape[axis + 1 :])
    axes = (axis - 2, axis - 1, axis + 1) if channels_last(layout) else (axis + 1, axis + 2, axis + 3)
    return _affine(
        anp.reshape(_normalised(anp.reshape(x, view), axes, eps), x.shape), weight, bias, _beside(layout)
    )


def instance_norm(x: Any, weight: Any, bias: Any, eps: float, layout: Layout) -> Any:
    return group_norm(x, weight, bias, x.shape[channel_axis(layout)], eps, layout)


def layer_norm(x: Any, weight: Any, bias: Any, normalized_shape: Any, eps: float) -> Any:
    last = tuple(np.atleast_1d(normalized_shape))
    return _affine(_normalised(x, tuple(range(-len(last), 0)), eps), weight, bias, last)


def log_softmax(x: Any, dim: int) -> Any:
    below = x - getval(x).max(dim, keepdims=True)
    return below - anp.log(anp.sum(anp.exp(below), dim, keepdims=True))


def softmax(x: Any, dim: int) -> Any:
    return anp.exp(log_softmax(x, dim))


def deform_conv2d(
    x: Any, offset: Any, weight: Any, bias: Any, mask: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """im2col with a bilinear look-up at every tap, then a matrix product.

    `low` is the pixel above and to the left of where a tap looks, a constant; `part` how far it is from there.
    """
    lead, (channels, height, width) = x.shape[:-3], x.shape[-3:]
    batch, groups = math.prod(lead), channels // weight.shape[1]
    options = ConvOptions.read("deform_conv2d", stride, padding, dilation, groups)
    problem = options.problem((batch, channels, height, width), weight.shape, x.dtype, get_precision())
    fields = (*problem.kernel, *problem.out_size)
    parts = offset.shape[-3] // (2 * math.prod(problem.kernel))
    grid = np.ix_(*(np.arange(n, dtype=offset.dtype) for n in fields))
    shifts = anp.reshape(offset, (batch, parts, *problem.kernel, 2, *problem.out_size))
    low, part = [], []
    for axis in (0, 1):
        regular = grid[axis] * problem.dilation[axis] + grid[2 + axis] * problem.stride[axis]
        place = shifts[:, :, :, :, axis] + (regular - problem.padding[2 * axis])
        low.append(np.floor(getval(place)))
        part.append(place - low[axis])
    planes = anp.moveaxis(anp.reshape(x, (batch, parts, channels // parts, height, width)), 2, -1)
    image, group = (i[..., None, None, None, None] for i in np.ix_(range(batch), range(parts)))
    samples = 0
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        at = [low[axis].astype(np.int64) + corner[axis] for axis in (0, 1)]
        row, column = (np.clip(at[axis], 0, x.shape[-2 + axis] - 1) for axis in (0, 1))
        share = (row == at[0]) * (column == at[1])
        for axis in (0, 1):
            share = share * (part[axis] if corner[axis] else 1 - part[axis])
        samples = samples + share[..., None] * planes[image, group, row, column]
    if mask is not None:
        samples = samples * anp.reshape(mask, (batch, parts, *fields, 1))
    terms, pixels = math.prod(weight.shape[1:]), math.prod(problem.out_size)
    columns = anp.reshape(anp.moveaxis(samples, -1, 2), (batch, groups, terms, pixels))
    result = anp.matmul(anp.reshape(weight, (groups, -1, terms)), columns)
    result = anp.reshape(result, (*lead, weight.shape[0], *problem.out_size))
    return result if bias is None else result + anp.reshape(bias, (-1, 1, 1))
