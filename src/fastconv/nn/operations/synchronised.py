"""Batch normalisation in training by the statistics of a batch whose shares several workers have.

S. Ioffe and C. Szegedy, 2015, with sums over all shares in place of those over one. Workers exchange two small arrays
for each layer and step: counts, means and sums of squares on the way there, and two sums of gradients on the way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv import grad
from fastconv.nn.operation import Operation, Pullback
from fastconv.nn.scope import SCOPE
from fastconv.ops.normalise import batch_norm
from fastconv.problem.layout import channel_axis
from fastconv.typing import Array

_BLOCK = 1 << 18  # numbers that are looked at together


def moments(x: Array, axis: int) -> Array:
    """Of one share, as `merged_moments` has them; of some samples at a time, which stay in the cache meanwhile."""
    others = tuple(place for place in range(x.ndim) if place != axis)
    step, parts = max(1, _BLOCK * len(x) // max(1, x.size)), []
    for start in range(0, len(x), step):
        block = x[start : start + step].astype(np.float64)
        mean = block.mean(axis=others, keepdims=True)
        block -= mean
        count = np.full(mean.size, float(block.size // mean.size))
        parts.append(np.stack([count, mean.ravel(), np.square(block, out=block).sum(axis=others)]))
    return merged_moments(parts)


def merged_moments(parts: Sequence[Array]) -> Array:
    """Counts, means and sums of squared differences from these, ``(3, C)``, of all shares.

    T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", 1979.
    """
    count, mean, squares = parts[0]
    for own_count, own_mean, own_squares in parts[1:]:
        total = count + own_count
        apart = own_mean - mean
        squares = squares + own_squares + apart * apart * (count * own_count / total)
        mean, count = mean + apart * (own_count / total), total
    return np.stack([count, mean, squares])


def added(parts: Sequence[Array]) -> Array:
    """Their sum, always in the same order."""
    total: Array = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _record(
    needs: tuple[bool, ...],
    x: Array,
    weight: Array | None,
    bias: Array | None,
    *,
    mean: Array,
    variance: Array,
    momentum: float,
    eps: float,
    layout: Any,
) -> tuple[Array, Pullback]:
    exchange = SCOPE.exchange
    assert exchange is not None
    axis = channel_axis(layout) % x.ndim
    channels = x.shape[axis]
    count = x.size // channels
    counts, whole_mean, squares = exchange(moments(x, axis), merged_moments)
    total = float(counts[0])
    if total < 2:
        raise ValueError(
            f"batch_norm: all shares have {total:.0f} value per channel, but training needs more than one"
        )
    whole_variance = squares / total
    for state, value in ((mean, whole_mean), (variance, squares / (total - 1))):
        state[...] = (1 - momentum) * state.astype(np.float64) + momentum * value
    known = whole_mean.astype(x.dtype), whole_variance.astype(x.dtype)
    y = batch_norm(x, *known, weight, bias, eps=eps, layout=layout)

    def back(slope: Array) -> tuple[Any, ...]:
        scale = np.ones(channels, x.dtype) if weight is None else weight
        of_x, of_weight, of_bias = grad.batch_norm(slope, x, *known, scale, False, eps, layout=layout)
        assert of_x is not None
        assert of_weight is not None
        assert of_bias is not None
        # Each share's loss is a mean over its own samples, and counts by these in that of the batch.
        own = np.stack([of_weight, of_bias]).astype(np.float64) * count
        sums = exchange(own, added) / count / total
        # What the mean and the variance owe to each pixel: scale / deviation * (sums[1] + normalised * sums[0]).
        deviation = np.sqrt(whole_variance + eps)
        slope_of_x = scale * sums[0] / deviation**2
        offset = scale * sums[1] / deviation - slope_of_x * whole_mean
        shape = [channels if a == axis else 1 for a in range(x.ndim)]
        owed = x * slope_of_x.astype(x.dtype).reshape(shape)
        owed += offset.astype(x.dtype).reshape(shape)
        return (
            np.subtract(of_x, owed, out=owed),
            of_weight if needs[1] else None,
            of_bias if needs[2] else None,
        )

    return y, back


def _run(x: Array, weight: Array | None, bias: Array | None, **options: Any) -> Array:
    return _record((False, False, False), x, weight, bias, **options)[0]


SYNCHRONISED_BATCH_NORM = Operation("batch_norm over all shares", _run, _record)
