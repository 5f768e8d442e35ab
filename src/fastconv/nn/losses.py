"""Losses: functions of what a network gives and what it should give, to one number, the mean over the batch.

`Module.fit` takes them by name, or a callable ``loss(output, target)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.nn import functional as F
from fastconv.nn.operation import Operation, Pullback
from fastconv.ops.softmax import log_softmax
from fastconv.shown import shows
from fastconv.typing import Array

__all__ = [
    "binary_cross_entropy",
    "cross_entropy",
    "dice",
    "huber",
    "margin",
    "mean_squared_error",
]
__dir__ = shows(__name__)


def _rows(x: Array) -> Array:
    """(pixels, classes) of (N, classes) or of images with channels first, as a view of the latter where possible."""
    return x if x.ndim == 2 else np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def _log_probabilities(x: Array) -> Array:
    return log_softmax(_rows(x), -1)


def _record_cross(
    needs: tuple[bool, ...], x: Array, *, target: Array, smoothing: float
) -> tuple[Array, Pullback]:
    """The gradient is the probabilities less the target, over their number."""
    logs = _log_probabilities(x)
    count = max(len(logs), 1)

    def back(gradient: Array) -> tuple[Any, ...]:
        slope = np.exp(logs)
        if target.ndim == 1:
            slope -= x.dtype.type(smoothing / logs.shape[1])
            slope[np.arange(len(target)), target] -= x.dtype.type(1 - smoothing)
        else:
            slope *= target.sum(axis=1, keepdims=True)
            slope -= target
        slope *= gradient / count
        if x.ndim > 2:
            slope = np.moveaxis(slope.reshape(len(x), *x.shape[2:], x.shape[1]), -1, 1)
        return (slope,)

    return _cross(logs, target, smoothing, x.dtype), back


def _cross(logs: Array, target: Array, smoothing: float, dtype: Any) -> Array:
    count = max(len(logs), 1)
    if target.ndim == 2:
        return np.asarray(-(logs * target).sum() / count, dtype)
    picked = -logs[np.arange(len(target)), target].sum(dtype=np.float64)
    if smoothing:
        picked = (1 - smoothing) * picked - smoothing / logs.shape[1] * logs.sum(dtype=np.float64)
    return np.asarray(picked / count, dtype)


CROSS_ENTROPY = Operation(
    "cross_entropy",
    lambda x, *, target, smoothing: _cross(_log_probabilities(x), target, smoothing, x.dtype),
    _record_cross,
)


def cross_entropy(output: Any, target: Any, label_smoothing: float = 0.0) -> Any:
    """How improbable the right classes are: ``-log(softmax(output)[target])``.

    Parameters
    ----------
    output : (N, classes), or with a network's layout images whose channels are the classes
        Before softmax.
    target : integers (N,) or (N, H, W), or probabilities of the shape of `output`
    label_smoothing : float
        This share of the target is spread over all classes evenly.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> round(float(nn.losses.cross_entropy(np.array([[0.0, np.log(3.0)]]), np.array([1]))), 4)
    0.2877
    """
    labels = np.asarray(target)
    classes_first = output
    if len(output.shape) == 4 and F.channel_axis(4) == 3:
        classes_first = output.transpose(0, 3, 1, 2)
    classes = classes_first.shape[1]
    if labels.dtype.kind in "iub" and labels.ndim == len(output.shape) - 1:
        expected = (classes_first.shape[0], *classes_first.shape[2:])
        if labels.shape != expected:
            raise ValueError(f"cross_entropy: target has shape {labels.shape}, but needs {expected}")
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(
                f"cross_entropy: target has labels {labels.min()} to {labels.max()}, but there are {classes} classes"
            )
        return CROSS_ENTROPY(
            classes_first, target=labels.reshape(-1).astype(np.intp), smoothing=float(label_smoothing)
        )
    if labels.shape != tuple(output.shape):
        raise ValueError(
            f"cross_entropy: target has shape {labels.shape} and dtype {labels.dtype}, but needs integers of shape "
            f"{(output.shape[0], *classes_first.shape[2:])}, or probabilities of shape {tuple(output.shape)}"
        )
    shares = labels.astype(output.dtype)
    if len(output.shape) == 4 and F.channel_axis(4) == 3:
        shares = shares.transpose(0, 3, 1, 2)
    shares = _rows(shares) * (1 - label_smoothing) + label_smoothing / classes
    return CROSS_ENTROPY(classes_first, target=shares.astype(output.dtype), smoothing=0.0)


def _like(name: str, output: Any, target: Any) -> Array:
    """The target, as the output has its shape and dtype."""
    array = np.asarray(target).astype(output.dtype)
    if array.shape != tuple(output.shape):
        if array.size == math.prod(output.shape) and array.ndim == len(output.shape) - 1:
            return array.reshape(output.shape)  # one number for each image
        raise ValueError(f"{name}: target has shape {array.shape}, but the output {tuple(output.shape)}")
    return array


def mean_squared_error(output: Any, target: Any) -> Any:
    """The mean of squared differences.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> float(nn.losses.mean_squared_error(np.array([[1.0, 3.0]]), np.array([[1.0, 1.0]])))
    2.0
    """
    difference = output - _like("mean_squared_error", output, target)
    return (difference * difference).mean()


def binary_cross_entropy(output: Any, target: Any) -> Any:
    """``-target * log(p) - (1 - target) * log(1 - p)`` for ``p = sigmoid(output)``, computed from the output itself.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> round(float(nn.losses.binary_cross_entropy(np.array([[0.0]]), np.array([[1.0]]))), 4)
    0.6931
    """
    wanted = _like("binary_cross_entropy", output, target)
    return (F.softplus(output) - output * wanted).mean()


def _huber(x: Array, delta: float) -> Array:
    size = np.abs(x)
    return np.where(size <= delta, 0.5 * x * x, delta * (size - 0.5 * delta)).astype(x.dtype)


HUBER = Operation(
    "huber",
    lambda x, *, delta: _huber(x, delta),
    lambda needs, x, *, delta: (_huber(x, delta), lambda gradient: (gradient * np.clip(x, -delta, delta),)),
)


def huber(output: Any, target: Any, delta: float = 1.0) -> Any:
    """Half the squared difference up to `delta`, and linear beyond it.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> float(nn.losses.huber(np.array([[3.0]]), np.array([[0.0]])))
    2.5
    """
    return HUBER(output - _like("huber", output, target), delta=float(delta)).mean()


def dice(output: Any, target: Any, smooth: float = 1.0) -> Any:
    """1 less the Dice coefficient of ``sigmoid(output)`` and a mask, ``2 |A B| / (|A| + |B|)``, of each image.

    Milletari et al., "V-Net", 2016. `smooth` is added to both, so that an empty mask has a loss of 0.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> far = np.array([[[[100.0, -100.0]]]])
    >>> round(float(nn.losses.dice(far, np.array([[[[1, 0]]]]))), 6)
    0.0
    """
    mask = _like("dice", output, target)
    p = F.sigmoid(output)
    axes = tuple(range(1, len(output.shape)))
    both, whole = (p * mask).sum(axis=axes), p.sum(axis=axes) + mask.sum(axis=axes)
    return (1.0 - (both * 2.0 + smooth) / (whole + smooth)).mean()


def margin(output: Any, target: Any) -> Any:
    """``max(0, 0.9 - length)**2`` of the right class, half of ``max(0, length - 0.1)**2`` of the others, added up.

    For the lengths of capsules: Sabour et al., 2017.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> round(float(nn.losses.margin(np.array([[0.8, 0.3]]), np.array([0]))), 6)
    0.03
    """
    labels = np.asarray(target)
    classes = output.shape[1]
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != output.shape[0]:
        raise ValueError(
            f"margin: target has shape {labels.shape} and dtype {labels.dtype}, but needs labels (N,)"
        )
    right = (labels[:, np.newaxis] == np.arange(classes)).astype(output.dtype)
    missed, found = F.relu(0.9 - output), F.relu(output - 0.1)
    return (missed * missed * right + found * found * (0.5 * (1 - right))).sum(axis=1).mean()


NAMED: dict[str, Callable[..., Any]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "mean_squared_error": mean_squared_error,
    "mse": mean_squared_error,
    "huber": huber,
    "margin": margin,
    "dice": dice,
}


def loss_of(value: Any) -> Callable[..., Any]:
    """The loss that a word means, or a callable itself."""
    if callable(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, str) and value in NAMED:
        return NAMED[value]
    raise ValueError(f"loss is {value!r}, but needs a callable or one of {', '.join(map(repr, NAMED))}")
