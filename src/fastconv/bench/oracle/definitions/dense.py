"""A fully connected layer, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.bench.oracle.definitions.common import Array, Definition, Part, computed
from fastconv.bench.oracle.definitions.pointwise import activated, slopes


def dense(x: Array, weight: Array, bias: Array | None = None, *, activation: Any = None) -> Definition:
    shape = *x.shape[:-1], weight.shape[0]
    return activated(computed(shape, lambda: _products(x, weight, bias)), activation)


def _products(x: Array, weight: Array, bias: Array | None) -> Part:
    left, right = x.astype(np.float64), weight.astype(np.float64).T
    added = np.zeros(1) if bias is None else bias.astype(np.float64)
    return left @ right + added, np.abs(left) @ np.abs(right) + np.abs(added)


def dense_gradients(
    x: Array, weight: Array, grad_output: Array, *, bias: Array | None = None, activation: Any = None
) -> tuple[Definition, ...]:
    """Those of `x`, `weight` and `bias`."""
    if activation is not None:
        grad_output = grad_output * slopes(_products(x, weight, bias)[0], activation)
    rows, given = x.reshape(-1, x.shape[-1]), grad_output.reshape(-1, weight.shape[0])
    ones = np.ones((1, len(rows)))

    def bias_part() -> Part:
        values, bound = _products(ones, given.T, None)
        return values[0], bound[0]

    return (
        computed(x.shape, lambda: _products(grad_output, weight.T, None)),
        computed(weight.shape, lambda: _products(given.T, rows.T, None)),
        computed(weight.shape[:1], bias_part),
    )
