"""Softmax and its logarithm, and their gradients."""

from __future__ import annotations

import numpy as np

from fastconv.bench.oracle.definitions.common import Array, Definition, Part, computed


def softmax(x: Array, dim: int) -> Definition:
    def compute() -> Part:
        logs, bound = _logarithms(x, dim)
        return np.exp(logs), np.exp(logs) * (1 + bound)

    return computed(x.shape, compute)


def log_softmax(x: Array, dim: int) -> Definition:
    return computed(x.shape, lambda: _logarithms(x, dim))


def _logarithms(x: Array, dim: int) -> Part:
    below = x.astype(np.float64)
    below = below - below.max(dim, keepdims=True)
    total = np.log(np.exp(below).sum(dim, keepdims=True))
    return below - total, np.abs(below) + total + 1


def softmax_gradient(grad_output: Array, x: Array, dim: int) -> Definition:
    """The row of the Jacobian: ``y[i] * (i == j) - y[i] * y[j]``."""

    def compute() -> Part:
        logs, errors = _logarithms(x, dim)
        y, grad = np.exp(logs), grad_output.astype(np.float64)
        values = y * (grad - (grad * y).sum(dim, keepdims=True))
        size = y * (np.abs(grad) + (np.abs(grad) * y).sum(dim, keepdims=True))
        return values, size * (1 + errors.max(dim, keepdims=True))

    return computed(x.shape, compute)


def log_softmax_gradient(grad_output: Array, x: Array, dim: int) -> Definition:
    """The row of the Jacobian: ``(i == j) - y[j]``."""

    def compute() -> Part:
        logs, errors = _logarithms(x, dim)
        y, grad = np.exp(logs), grad_output.astype(np.float64)
        values = grad - y * grad.sum(dim, keepdims=True)
        size = np.abs(grad) + y * np.abs(grad).sum(dim, keepdims=True)
        return values, size * (1 + errors.max(dim, keepdims=True))

    return computed(x.shape, compute)
