"""The gradients of poolings: what each window sends back to its pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.bench.oracle.definitions.common import Array, Box, Definition, Part, Shape, full_box
from fastconv.bench.oracle.definitions.pool import Axes, divisors, lp_scale, windows_at
from fastconv.bench.oracle.definitions.windows import adaptive_axes, sliding_axes

# Of the gradient (N, C, I, J), the windows' pixels (N, C, I, J, T), which are inside, and the grid: (N, C, I, J, T).
Share = Callable[[Array, Array, Array, Box], Array]


def _plane_by_plane(
    shape: Shape, count: int, sent: Callable[[Array, Array], tuple[Array, Array]]
) -> Definition:
    """`sent` says for images and channels where in their planes (N, C, M) which amounts (N, C, M) go.

    What a pixel gets may come from any window: planes are computed as a whole.
    """

    def at(box: Box) -> Part:
        n, c, i, j = box
        place, amount = sent(n, c)
        found = np.zeros((2, len(n) * len(c), math.prod(shape[2:])))
        plane = np.arange(len(n) * len(c))[:, None]
        sizes = len(plane), math.prod(place.shape[2:])
        place, amount = place.reshape(sizes), amount.reshape(sizes)
        np.add.at(found[0], (plane, place), amount)
        np.add.at(found[1], (plane, place), np.abs(amount))
        values, bound = found.reshape(2, len(n), len(c), *shape[2:])[:, :, :, i[:, None], j]
        return values, bound

    return Definition(shape, max(1, count // max(1, math.prod(shape[2:]))), at, whole=(2, 3))


def by_windows(grad_output: Array, x: Array, axes: Axes, share: Share) -> Definition:
    """`share` says how much of its gradient each window sends to each of its pixels."""

    def sent(n: Array, c: Array) -> tuple[Array, Array]:
        box = [n, c, *full_box(grad_output.shape[2:])]
        taken, is_pixel, place = windows_at(x, axes, box)
        slope = grad_output[np.ix_(*box)].astype(np.float64)
        amount = np.where(is_pixel, share(slope, taken.astype(np.float64), is_pixel, box), 0)
        return np.broadcast_to(np.where(is_pixel, place, 0), amount.shape), amount

    terms = axes[0].pixels.size * axes[1].pixels.size
    return _plane_by_plane(x.shape, terms, sent)


def by_indices(grad_output: Array, indices: Array, input_size: Any) -> Definition:
    """Max pooling of every kind: each window sends all to the pixel of its index."""
    windows = *grad_output.shape[:2], math.prod(grad_output.shape[2:])
    flat, grad = indices.reshape(windows), grad_output.reshape(windows).astype(np.float64)

    def sent(n: Array, c: Array) -> tuple[Array, Array]:
        return flat[np.ix_(n, c)], grad[np.ix_(n, c)]

    return _plane_by_plane(tuple(input_size), math.prod(grad_output.shape[2:]), sent)


def by_pick(grad_output: Array, index: Definition, input_size: Shape) -> Definition:
    """The same, of indices by their definition."""
    count = math.prod(index.shape[2:])
    grad = grad_output.reshape(*index.shape[:2], count).astype(np.float64)

    def sent(n: Array, c: Array) -> tuple[Array, Array]:
        indices, _ = index.at([n, c, *full_box(index.shape[2:])])
        return indices.reshape(len(n), len(c), count), grad[np.ix_(n, c)]

    return _plane_by_plane(input_size, count * index.terms, sent)


def _equal_shares(grad_output: Array, x: Array, axes: Axes, divisor: Array) -> Definition:
    def share(slope: Array, taken: Array, is_pixel: Array, box: Box) -> Array:
        return (slope / divisor)[..., None]

    return by_windows(grad_output, x, axes, share)


def avg_pool2d_gradient(
    grad_output: Array,
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Definition:
    axes = sliding_axes(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    return _equal_shares(grad_output, x, axes, divisors(axes, count_include_pad, divisor_override))


def adaptive_avg_pool2d_gradient(
    grad_output: Array, x: Array, output_size: Any = 1, keepdims: bool = True
) -> Definition:
    axes = adaptive_axes(x.shape[2:], output_size)
    grad = grad_output.reshape(*x.shape[:2], axes[0].count, axes[1].count)
    return _equal_shares(grad, x, axes, divisors(axes))


def lp_pool2d_gradient(
    grad_output: Array,
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
    scale = lp_scale(axes, kernel_size, dilation, ceil_mode)[..., None]

    def share(slope: Array, taken: Array, is_pixel: Array, box: Box) -> Array:
        size = np.where(is_pixel, np.abs(taken), 0)
        if norm_type == math.inf:  # all to the first of the largest
            largest = np.arange(size.shape[-1]) == size.argmax(-1, keepdims=True)
            return np.asarray(slope[..., None] * np.sign(taken) * largest)
        norm = (scale * (size**norm_type).sum(-1, keepdims=True)) ** (1 / norm_type)
        positive = size > 0
        size, norm = np.where(positive, size, 1), np.where(norm > 0, norm, 1)
        part = scale * size ** (norm_type - 1) * norm ** (1 - norm_type)
        return slope[..., None] * np.where(positive, np.copysign(part, taken), 0)

    return by_windows(grad_output, x, axes, share)
