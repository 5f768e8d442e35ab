"""Functions of values in networks: of arrays, and of what stands for them while a network is differentiated or drawn.

For modules of your own, beside arithmetic (``+ - * / ** @``, indices, ``reshape``, ``transpose``, ``sum``, ``mean``).
Images are of the layout of the network that is being called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.nn.operations import arithmetic, images, norm, pool, shapes
from fastconv.nn.operations.activate import ACTIVATION
from fastconv.nn.operations.conv import CONV2D, DENSE
from fastconv.nn.scope import SCOPE
from fastconv.problem.layout import channels_last
from fastconv.shown import shows

__all__ = [
    "absolute",
    "activation",
    "channel_shuffle",
    "concatenate",
    "conv2d",
    "dense",
    "dropout",
    "exp",
    "flatten",
    "gelu",
    "global_avg_pool2d",
    "log",
    "log_softmax",
    "maximum",
    "mean",
    "pad2d",
    "relu",
    "resize2d",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "sqrt",
    "sum",
    "tanh",
]
__dir__ = shows(__name__)


def channel_axis(rank: int) -> int:
    """The axis of the channels of a batch of images, signals or rows, counted from the front."""
    return rank - 1 if channels_last(SCOPE.layout) else 1


def activation(x: Any, name: Any) -> Any:
    """An activation by its name, as `fastconv.conv2d` takes it; None leaves `x` as it is."""
    return x if name is None else ACTIVATION(x, activation=name)


def relu(x: Any) -> Any:
    """``max(x, 0)``."""
    return ACTIVATION(x, activation="relu")


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    return ACTIVATION(x, activation="sigmoid")


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return ACTIVATION(x, activation="tanh")


def silu(x: Any) -> Any:
    """``x * sigmoid(x)``, also called swish."""
    return ACTIVATION(x, activation="silu")


def gelu(x: Any) -> Any:
    """x times the normal distribution's share below x."""
    return ACTIVATION(x, activation="gelu")


def exp(x: Any) -> Any:
    """The exponential."""
    return arithmetic.EXP(x)


def log(x: Any) -> Any:
    """The natural logarithm."""
    return arithmetic.LOG(x)


def sqrt(x: Any) -> Any:
    """The square root."""
    return arithmetic.POWER(x, exponent=0.5)


def absolute(x: Any) -> Any:
    """The magnitude; its gradient at 0 is 0."""
    return arithmetic.ABSOLUTE(x)


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``."""
    return arithmetic.SOFTPLUS(x)


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum along axes, by default all."""
    return arithmetic.SUM(x, axis=axis, keepdims=keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean along axes, by default all."""
    return arithmetic.MEAN(x, axis=axis, keepdims=keepdims)


def maximum(x: Any, axis: int, keepdims: bool = False) -> Any:
    """The largest along an axis; of several the first has the gradient."""
    return arithmetic.MAXIMUM(x, axis=axis, keepdims=keepdims)


def concatenate(values: Sequence[Any], axis: int | None = None) -> Any:
    """Join arrays along an axis, by default that of the channels.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.functional.concatenate([np.zeros((1, 2, 4, 4)), np.zeros((1, 3, 4, 4))]).shape
    (1, 5, 4, 4)
    """
    along = channel_axis(len(values[0].shape)) if axis is None else axis
    return shapes.CONCATENATE(*values, axis=along)


def flatten(x: Any) -> Any:
    """``(N, features)``, with the channels first in either layout."""
    return shapes.FLATTEN(x, layout=SCOPE.layout)


def softmax(x: Any, axis: int = -1) -> Any:
    """``exp(x) / sum(exp(x))`` along an axis."""
    return norm.SOFTMAX(x, dim=axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """The logarithm of `softmax`, computed as ``x - log(sum(exp(x)))``."""
    return norm.LOG_SOFTMAX(x, dim=axis)


def dropout(x: Any, rate: float, shape: tuple[int, ...] | None = None) -> Any:
    """In training: zeros with a probability, the rest divided by that of the others; else `x`.

    `shape` broadcasts to that of `x`: what it has 1 for is dropped together.
    """
    if not SCOPE.training or not rate:
        return x
    dtype = x.dtype
    drawn = SCOPE.generator().random(x.shape if shape is None else shape, dtype=np.float32)
    kept = (drawn >= rate).astype(dtype) * dtype.type(1 / (1 - rate))
    return x * kept


def conv2d(x: Any, weight: Any, bias: Any = None, **options: Any) -> Any:
    """`fastconv.conv2d` with weights ``(C_out, C_in // groups, kH, kW)`` in either layout."""
    return CONV2D(x, weight, bias, layout=SCOPE.layout, **options)


def dense(x: Any, weight: Any, bias: Any = None, activation: Any = None) -> Any:
    """`fastconv.dense`."""
    return DENSE(x, weight, bias, activation=activation)


def global_avg_pool2d(x: Any, keepdims: bool = True) -> Any:
    """The mean of each channel."""
    return pool.GLOBAL_AVG_POOL2D(x, keepdims=keepdims, layout=SCOPE.layout)


def pad2d(x: Any, padding: Any, mode: str = "zeros", value: float = 0.0) -> Any:
    """`fastconv.pad2d`."""
    return images.PAD2D(x, padding=padding, mode=mode, value=value, layout=SCOPE.layout)


def resize2d(x: Any, size: Any = None, scale_factor: Any = None, **options: Any) -> Any:
    """`fastconv.resize2d`."""
    given = {"size": size} if size is not None else {"scale_factor": scale_factor}
    return images.RESIZE2D(x, layout=SCOPE.layout, **given, **options)


def channel_shuffle(x: Any, groups: int) -> Any:
    """`fastconv.channel_shuffle`."""
    return images.CHANNEL_SHUFFLE(x, groups=groups, layout=SCOPE.layout)
