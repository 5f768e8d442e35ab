"""Normalisation by mean and variance, forwards and backwards, from two primitives: sums over segments of an array, and
an affine map with numbers for each segment. Called by `ops/normalise.py` and `grad/normalise.py`.

An image is (outer, steps, groups, run), as `backends/protocol.py` says; statistics are (outer, groups) in float64.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, SupportsIndex, cast

import numpy as np

from fastconv import arguments
from fastconv.backends.protocol import Backend, Bounds, Segments
from fastconv.execution.arrays import as_array
from fastconv.problem.layout import channels_last, image_sizes, layout_in_memory
from fastconv.problem.options import Activation
from fastconv.typing import Array, ArrayLike, Layout, ShapeLike


class Statistics(NamedTuple):
    """Mean, biased variance, and ``1 / sqrt(variance + eps)``."""

    mean: Array
    variance: Array
    inverse: Array


def of_batch(shape: tuple[int, ...], layout: Layout) -> Segments:
    """A segment for each channel."""
    batch, channels, size = image_sizes(shape, layout)
    pixels = math.prod(size)
    last = channels_last(layout_in_memory(layout, channels))
    return (1, batch * pixels, channels, 1) if last else (1, batch, channels, pixels)


def of_images(shape: tuple[int, ...], layout: Layout) -> Segments:
    """A segment for each channel of each image."""
    batch, channels, size = image_sizes(shape, layout)
    pixels = math.prod(size)
    last = channels_last(layout_in_memory(layout, channels))
    return (batch, pixels, channels, 1) if last else (batch, 1, channels, pixels)


def of_rows(shape: tuple[int, ...], last: tuple[int, ...]) -> tuple[Segments, Segments]:
    """A segment for each row of all `last` axes, and one for each element of them."""
    length = math.prod(last)
    rows = math.prod(shape) // length
    return (rows, 1, 1, length), (1, rows, length, 1)


def read_groups(op: str, value: SupportsIndex, channels: int) -> int:
    groups = arguments.integer(op, "num_groups", value, 1)
    if channels % groups:
        raise ValueError(f"{op}: num_groups is {groups}, which does not divide the {channels} channels of x")
    return groups


def read_last_axes(op: str, value: SupportsIndex | ShapeLike, shape: tuple[int, ...]) -> tuple[int, ...]:
    """`normalized_shape`, with which the shape of x ends."""
    name = "normalized_shape"
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or getattr(value, "ndim", 1) == 0:
        last: tuple[int, ...] = (arguments.integer(op, name, cast(SupportsIndex, value), 1),)
    else:
        last = tuple(arguments.integer(op, name, n, 1) for n in cast(ShapeLike, value))
    if not last or shape[-len(last) :] != last:
        raise ValueError(f"{op}: x has shape {shape}, but {name}={last} needs one that ends with it")
    return last


def read_vector(op: str, name: str, value: ArrayLike | None, shape: tuple[int, ...]) -> Array | None:
    """One number for each channel, or element, in float64."""
    if value is None:
        return None
    array = as_array(op, name, value)
    if array.shape != shape:
        raise ValueError(f"{op}: {name} has shape {array.shape}, but needs {shape}")
    return array.astype(np.float64)


def read_eps(op: str, eps: Any) -> float:
    number = arguments.number(op, "eps", eps)
    if not number >= 0:
        raise ValueError(f"{op}: eps is {number}, but needs a number from 0 on")
    return number


# As in the kernels, what is infinite or not a number goes on without a warning.
def _quiet() -> np.errstate:
    return np.errstate(all="ignore")


@_quiet()
def given(mean: Array, variance: Array, eps: float) -> Statistics:
    """Statistics of the channels as they are known."""
    return Statistics(mean[np.newaxis], variance[np.newaxis], 1 / np.sqrt(variance + eps)[np.newaxis])


@_quiet()
def measured(engine: Backend, x: Array, segments: Segments, parts: int, eps: float) -> Statistics:
    """Those of `x`, of `parts` neighbouring groups together, in two passes."""
    centre = np.zeros((segments[0], segments[2]), x.dtype)
    centre = _means(_sums(engine, x, None, centre, segments)[0], segments, parts).astype(x.dtype)
    sums, squares = _sums(engine, x, None, centre, segments)
    rest = _means(sums, segments, parts)  # what the mean lost when it was rounded
    variance = np.maximum(_means(squares, segments, parts) - rest**2, 0)
    return Statistics(centre + rest, variance, 1 / np.sqrt(variance + eps))


def _sums(engine: Backend, x: Array, other: Array | None, centre: Array, segments: Segments) -> Array:
    sums = np.empty((2, segments[0], segments[2]))
    engine.segment_sums(x, other, centre, segments, sums)
    return sums


def _means(sums: Array, segments: Segments, parts: int) -> Array:
    """The mean of all elements of each part, for every group of it."""
    outer, steps, groups, run = segments
    each = groups // parts
    totals = sums.reshape(outer, parts, each).sum(2)
    return np.repeat(totals / (steps * run * each), each, axis=1)


@_quiet()
def normalise(
    engine: Backend,
    x: Array,
    segments: Segments,
    known: Statistics,
    weight: Array | None,
    bias: Array | None,
    out: Array,
) -> None:
    """``(x - mean) * inverse * weight + bias``; weight and bias are of the groups."""
    scale = known.inverse if weight is None else known.inverse * weight
    centre = known.mean.astype(x.dtype)
    shift = (centre - known.mean) * scale + (0.0 if bias is None else bias)
    times, plus = (np.ascontiguousarray(a, x.dtype) for a in (scale, shift))
    engine.segment_affine(x, centre, times, plus, None, None, segments, out)


@_quiet()
def by_rows(
    engine: Backend,
    x: Array,
    sizes: tuple[int, int, int, int],
    weight: Array | None,
    bias: Array | None,
    eps: float,
    out: Array,
) -> bool:
    """Normalise rows of memory by their own statistics, if the backend does that at once.

    A row is the last two of `sizes`; each of its channels has a weight and a bias.
    """
    times, plus = (None if a is None else a.astype(x.dtype) for a in (weight, bias))
    return engine.normalise_rows(x, times, plus, eps, sizes, out)


@_quiet()
def scaled(engine: Backend, x: Array, scale: Array, shift: Array, segments: Segments, out: Array) -> None:
    """``x * scale + shift``."""
    times, plus = (np.ascontiguousarray(a, x.dtype) for a in (scale, shift))
    engine.segment_affine(x, np.zeros_like(times), times, plus, None, None, segments, out)


@_quiet()
def train_batch(
    op: str,
    engine: Backend,
    x: Array,
    layout: Layout,
    weight: Array | None,
    bias: Array | None,
    residual: Array | None,
    eps: float,
    activation: Activation | None,
    out: Array,
) -> Array:
    """A batch normalised by its own statistics, plus `residual`, cut off as `activation`, one of `bounds_of`, does.

    Returns the mean and the variance, (2, C).
    """
    segments = of_batch(x.shape, layout)
    channels = segments[2]
    if x.size == channels:
        raise ValueError(f"{op}: x has shape {x.shape}, but training needs more than one value per channel")
    statistics = np.empty((2, channels))
    times, plus = (None if a is None else a.astype(x.dtype, copy=False) for a in (weight, bias))
    bounds = bounds_of(activation)
    assert bounds is not None
    if engine.train_batch(x, times, plus, residual, eps, bounds, segments, out, statistics):
        return statistics
    known = measured(engine, x, segments, channels, eps)
    normalise(engine, x, segments, known, times, plus, out)
    if residual is not None:
        out += residual
    if activation is not None:
        np.clip(out, *bounds, out=out)
    statistics[0], statistics[1] = known.mean[0], known.variance[0]
    return statistics


def bounds_of(activation: Activation | None) -> Bounds | None:
    """What an activation that does nothing but cut off keeps its results between; None for others."""
    if activation is None:
        return -math.inf, math.inf
    if activation.name == "relu":
        return 0.0, math.inf
    return (activation.a, activation.b) if activation.name == "clip" else None


def follow(running: Array, own: Array, momentum: float) -> None:
    """Running statistics move towards those of a batch."""
    running[...] = (1 - momentum) * running.astype(np.float64) + momentum * own


def unbiased(statistics: Array, count: int) -> Array:
    """The variance of `count` values in each channel, as running statistics have it."""
    variance: Array = statistics[1] * (count / (count - 1))
    return variance


class Backward(NamedTuple):
    """For each segment the sums of the gradient, and of the gradient times what was normalised."""

    sums: Array
    products: Array


@_quiet()
def sum_gradients(engine: Backend, x: Array, grad: Array, segments: Segments, known: Statistics) -> Backward:
    centre = known.mean.astype(x.dtype)
    sums, products = _sums(engine, x, grad, centre, segments)
    return Backward(sums, (products + sums * (centre - known.mean)) * known.inverse)


@_quiet()
def gradient_of_input(
    engine: Backend,
    x: Array,
    grad: Array,
    segments: Segments,
    known: Statistics,
    weight: Array | None,
    back: Backward,
    parts: int,
    out: Array,
) -> None:
    """Where the statistics are those of `x`, they answer to it, too."""
    times: Any = 1.0 if weight is None else weight
    scale = -_means(back.products * times, segments, parts) * known.inverse**2
    centre = known.mean.astype(x.dtype)
    shift = (centre - known.mean) * scale - _means(back.sums * times, segments, parts) * known.inverse
    own, plus, factor = (np.ascontiguousarray(a, x.dtype) for a in (scale, shift, known.inverse * times))
    engine.segment_affine(x, centre, own, plus, grad, factor, segments, out)


@_quiet()
def train_batch_gradient(
    engine: Backend,
    x: Array,
    grad: Array,
    layout: Layout,
    output: Array | None,
    weight: Array | None,
    statistics: Array,
    eps: float,
    activation: Activation | None,
    grad_x: Array,
    grad_residual: Array | None,
) -> Array:
    """The gradients of `train_batch`: of x, of the residual where there is a place for it, and (2, C) those of weight
    and bias. `output` is needed where there is an activation."""
    segments = of_batch(x.shape, layout)
    channels = segments[2]
    totals = np.empty((2, channels))
    times = None if weight is None else weight.astype(x.dtype, copy=False)
    bounds = bounds_of(activation)
    assert bounds is not None
    if engine.train_batch_gradient(
        x, grad, output, times, statistics, eps, bounds, segments, grad_x, grad_residual, totals
    ):
        return totals
    if activation is not None:
        assert output is not None
        masked = np.empty_like(grad) if grad_residual is None else grad_residual
        engine.activation_gradient(activation, grad, output, True, masked)
        grad = masked
    known = given(statistics[0], statistics[1], eps)
    back = sum_gradients(engine, x, grad, segments, known)
    gradient_of_input(engine, x, grad, segments, known, times, back, channels, grad_x)
    totals[:] = channel_totals(back)
    return totals


def channel_totals(back: Backward) -> tuple[Array, Array]:
    """The gradients of weight and bias: over all images."""
    return back.products.sum(0), back.sums.sum(0)


def element_totals(engine: Backend, normal: Array, grad: Array, elements: Segments) -> Array:
    """The gradients of weight and bias that each element has of its own; `normal` is what was normalised."""
    sums, products = _sums(engine, normal, grad, np.zeros((1, elements[2]), normal.dtype), elements)
    return np.stack([products[0], sums[0]])


@_quiet()
def rounded(values: Array, dtype: np.dtype[Any]) -> Array:
    return values.astype(dtype)
