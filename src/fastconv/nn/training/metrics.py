"""Metrics: numbers that people read, from a network's output and what it should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.nn.scope import SCOPE
from fastconv.problem.layout import channels_last
from fastconv.typing import Array


def accuracy(output: Array, target: Array) -> float:
    """The share of right classes: those of the largest score, or of a positive one where there is but one."""
    axis = output.ndim - 1 if output.ndim == 2 or channels_last(SCOPE.layout) else 1
    if output.shape[axis] == 1:
        return float(np.mean((output > 0).reshape(-1) == (np.asarray(target).reshape(-1) > 0.5)))
    labels = np.asarray(target)
    if labels.shape == output.shape:
        labels = labels.argmax(axis=axis)
    return float(np.mean(output.argmax(axis=axis) == labels))


def mean_absolute_error(output: Array, target: Array) -> float:
    """The mean of the differences' magnitudes."""
    return float(np.mean(np.abs(output - np.asarray(target).reshape(output.shape))))


def dice(output: Array, target: Array) -> float:
    """The Dice coefficient of where the output is positive, and a mask; of both empty 1."""
    found, mask = output > 0, np.asarray(target).reshape(output.shape) > 0.5
    whole = found.sum() + mask.sum()
    return float(2 * (found & mask).sum() / whole) if whole else 1.0


_NAMED: dict[str, Callable[..., float]] = {
    "accuracy": accuracy,
    "mean_absolute_error": mean_absolute_error,
    "mae": mean_absolute_error,
    "dice": dice,
}


def metrics_of(value: Any, loss: Any) -> dict[str, Callable[..., float]]:
    """Those that are named, or given as callables; by default accuracy where the loss is one of classes."""
    if value is None:
        value = ["accuracy"] if loss in ("cross_entropy", "binary_cross_entropy") else []
    if isinstance(value, str) or callable(value):
        value = [value]
    chosen: dict[str, Callable[..., float]] = {}
    for one in value:
        if callable(one):
            chosen[getattr(one, "__name__", "metric")] = one  # pyright: ignore  (a callable)
        elif one in _NAMED:
            chosen[one] = _NAMED[one]
        else:
            raise ValueError(
                f"metrics has {one!r}, but needs callables or some of {', '.join(map(repr, _NAMED))}"
            )
    return chosen
