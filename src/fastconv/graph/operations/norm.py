"""Normalisation with given or with computed statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.graph.elements import ELEMENTS
from fastconv.graph.graph import Value
from fastconv.graph.operations.rules import same
from fastconv.graph.operations.table import Reading, Type, operation, upgrade
from fastconv.ops import normalise
from fastconv.ops.norm import local_response_norm
from fastconv.typing import Array

_MOST_CHANNELS = 2**20  # where a scale for each is made when a file is read


def _channels(values: Array, x: Array) -> Array:
    """A value for each channel, as it meets `x`."""
    return values.reshape((-1,) + (1,) * (x.ndim - 2))


def _by_channel(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    """The type of the first input, for whose channels each other has a number."""
    x, *vectors = inputs
    shapes = [value.shape for value in vectors if value is not None and value.shape is not None]
    counts = {count for shape in shapes for count in shape if isinstance(count, int)}
    if x is not None and x.shape is not None:
        counts |= {count for count in x.shape[1:2] if isinstance(count, int)}
    if len(counts) > 1 or any(len(shape) != 1 for shape in shapes):
        seen = x and x.shape
        raise ValueError(f"x has the shape {seen}, and its vectors {', '.join(map(str, shapes))}")
    return same(inputs, attributes)


@operation("BatchNormalization", rule=_by_channel)
def batch_norm(
    x: Array,
    scale: Array,
    bias: Array,
    mean: Array,
    variance: Array,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Any:
    if training_mode:
        return _batch_norm_training(x, scale, bias, mean, variance, epsilon, momentum)
    factor = scale / np.sqrt(variance + variance.dtype.type(epsilon))
    result = x * _channels(factor, x) + _channels(bias - mean * factor, x)
    return result.astype(x.dtype, copy=False)


def _batch_norm_training(
    x: Array, scale: Array, bias: Array, mean: Array, variance: Array, epsilon: float, momentum: float
) -> Any:
    """With the batch's own statistics; those that run are given beside."""
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    own_mean, own_variance = x.mean(axis=axes), x.var(axis=axes)
    result = batch_norm(x, scale, bias, own_mean, own_variance, epsilon=epsilon)
    running = [
        (old * momentum + new * (1 - momentum)).astype(old.dtype)
        for old, new in ((mean, own_mean), (variance, own_variance))
    ]
    return (result, *running)


@upgrade("BatchNormalization", to=7)
def is_test_is_gone(reading: Reading) -> None:
    if not reading.attributes.pop("is_test", 0):
        reading.refuse("a node that is made for training (is_test is 0)")


@upgrade("BatchNormalization", to=9)
def statistics_are_of_channels(reading: Reading) -> None:
    if not reading.attributes.pop("spatial", 1):
        reading.refuse("statistics of single pixels (spatial is 0)")


def _statistics(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array]:
    """The mean along the axes, and one over the deviation."""
    mean = x.mean(axis=axes, keepdims=True)
    moved = x - mean
    return mean, 1 / np.sqrt((moved * moved).mean(axis=axes, keepdims=True) + x.dtype.type(epsilon))


def _as_images(x: Array) -> Array:
    """All that follows on the channels as one row."""
    return x.reshape(*x.shape[:2], 1, math.prod(x.shape[2:]))


@operation("InstanceNormalization", rule=same)
def instance_norm(x: Array, scale: Array, bias: Array, *, epsilon: float = 1e-5) -> Any:
    if not x.size:
        return x
    return normalise.instance_norm(_as_images(x), scale, bias, epsilon).reshape(x.shape)


@operation("GroupNormalization", rule=same)
def group_norm(
    x: Array, scale: Array, bias: Array, *, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1
) -> Any:
    if not x.size:
        return x
    wide = _as_images(x.astype(ELEMENTS[stash_type].dtype, copy=False))
    result = normalise.group_norm(wide, num_groups, scale, bias, epsilon)
    return result.reshape(x.shape).astype(x.dtype, copy=False)


@upgrade("GroupNormalization", to=21)
def scale_is_of_channels(reading: Reading) -> None:
    """Operator set 18 has one scale for each group."""
    x, groups = reading.inputs[0], reading.attributes["num_groups"]
    if x is None or x.shape is None or len(x.shape) < 2 or not isinstance(x.shape[1], int):
        reading.refuse("an input whose number of channels is not known")
        return
    if x.shape[1] > _MOST_CHANNELS:
        reading.refuse(f"{x.shape[1]} channels")
    for place in (1, 2):
        value = reading.inputs[place]
        if value is None or not value.is_constant:
            reading.refuse("scales of groups that are not constant")
            return
        reading.give(place, np.repeat(value.constant, x.shape[1] // groups))


@operation("LayerNormalization", rule=same)
def layer_norm(
    x: Array,
    scale: Array,
    bias: Array | None = None,
    *,
    outputs: int = 1,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Any:
    wide, last = x.astype(ELEMENTS[stash_type].dtype, copy=False), x.shape[axis % x.ndim :]
    result = x
    if x.size:
        weight, added = (None if a is None else np.broadcast_to(a, last) for a in (scale, bias))
        result = normalise.layer_norm(wide, last, weight, added, epsilon).astype(x.dtype, copy=False)
    if outputs == 1:
        return result
    axes = tuple(range(axis % x.ndim, x.ndim))
    return result, *_statistics(wide, axes, epsilon)


@operation("RMSNormalization", rule=same)
def root_mean_square_norm(
    x: Array, scale: Array, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Any:
    wide = x.astype(ELEMENTS[stash_type].dtype)
    axes = tuple(range(axis % x.ndim, x.ndim))
    root = np.sqrt((wide * wide).mean(axis=axes, keepdims=True) + wide.dtype.type(epsilon))
    return (wide / root).astype(x.dtype) * scale


@operation("LRN", rule=same)
def response_norm(x: Array, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Any:
    planes = x.reshape(*x.shape[:2], x.shape[2] if x.ndim > 2 else 1, math.prod(x.shape[3:]))
    return local_response_norm(planes, size, alpha, beta, bias).reshape(x.shape)


@operation("LpNormalization", rule=same)
def lp_normalization(x: Array, *, axis: int = -1, p: int = 2) -> Any:
    norm = (
        np.abs(x).sum(axis=axis, keepdims=True) if p == 1 else np.sqrt((x * x).sum(axis=axis, keepdims=True))
    )
    return np.where(norm == 0, x.dtype.type(0), x / norm)


@operation("MeanVarianceNormalization", rule=same)
def mean_variance_norm(x: Array, *, axes: tuple[int, ...] = (0, 2, 3)) -> Any:
    mean = x.mean(axis=axes, keepdims=True)
    deviation = np.sqrt((x * x).mean(axis=axes, keepdims=True) - mean * mean)
    return ((x - mean) / (deviation + 1e-9)).astype(x.dtype)
