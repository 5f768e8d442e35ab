"""Normalisation by mean and variance, and its gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv.bench.oracle.definitions.common import Array, Definition, Part, computed


@dataclass(frozen=True)
class Norm:
    """One call: `view` is the shape whose `axes` are normalised together, `own` that of weight and bias beside x.

    `known` is (mean, variance) beside x, or None where they are those of x.
    """

    x: Array
    view: tuple[int, ...]
    axes: tuple[int, ...]
    own: tuple[int, ...]
    weight: Array | None
    bias: Array | None
    eps: float
    known: tuple[Array, Array] | None = None

    def definition(self) -> Definition:
        return computed(self.x.shape, self._values)

    def gradients(self, grad_output: Array) -> tuple[Definition, ...]:
        """Those of x, weight and bias."""
        size = self.own[:1] if self.own[1:] == (1, 1) else self.own
        lead = self.x.ndim - len(self.own)
        summed = [*range(lead), *(lead + i for i, n in enumerate(self.own) if n == 1)]
        grad = grad_output.astype(np.float64)

        def over(part: Part) -> Part:
            values, bound = (a.sum(tuple(summed)).reshape(size) for a in part)
            return values, bound

        def of_weight() -> Part:
            normal, size, _ = self._normal()
            return over((grad * normal, np.abs(grad) * size))

        return (
            computed(self.x.shape, lambda: self._gradient(grad)),
            computed(size, of_weight),
            computed(size, lambda: over((grad, np.abs(grad)))),
        )

    def _own(self, values: Array | None, default: float) -> Any:
        return default if values is None else values.astype(np.float64).reshape(self.own)

    def _normal(self) -> tuple[Array, Array, Array]:
        """What is normalised, the magnitude of its terms, and 1 / sqrt(variance + eps), as large as x."""
        v = self.x.astype(np.float64).reshape(self.view)
        if self.known is None:
            mean = v.mean(self.axes, keepdims=True)
            variance = v.var(self.axes, keepdims=True)
        else:
            mean, variance = (a.astype(np.float64).reshape(self.own) for a in self.known)
            v = self.x.astype(np.float64)
        inverse = np.broadcast_to(1 / np.sqrt(variance + self.eps), v.shape)
        normal, size = (v - mean) * inverse, (np.abs(v) + np.abs(mean)) * inverse
        shape = self.x.shape
        return normal.reshape(shape), size.reshape(shape), inverse.reshape(shape)

    def _values(self) -> Part:
        normal, size, _ = self._normal()
        weight, bias = self._own(self.weight, 1.0), self._own(self.bias, 0.0)
        return normal * weight + bias, size * np.abs(weight) + np.abs(bias)

    def _gradient(self, grad: Array) -> Part:
        normal, size, inverse = self._normal()
        given = grad * self._own(self.weight, 1.0)
        if self.known is not None:
            return given * inverse, np.abs(given * inverse)

        def mean(values: Array) -> Array:
            means = values.reshape(self.view).mean(self.axes, keepdims=True)
            return np.broadcast_to(means, self.view).reshape(self.x.shape)

        values = inverse * (given - mean(given) - normal * mean(given * normal))
        bound = np.abs(given) + mean(np.abs(given)) + size * mean(np.abs(given) * size)
        return values, inverse * bound


def batch_norm(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Definition:
    return _batch(x, running_mean, running_var, weight, bias, training, eps).definition()


def batch_norm_gradients(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    grad_output: Array,
) -> tuple[Definition, ...]:
    return _batch(x, running_mean, running_var, weight, bias, training, eps).gradients(grad_output)


def _batch(x: Array, mean: Any, variance: Any, weight: Any, bias: Any, training: bool, eps: float) -> Norm:
    known = None if training else (mean, variance)
    return Norm(x, x.shape, (0, 2, 3), (x.shape[1], 1, 1), weight, bias, eps, known)


def group_norm(
    x: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Definition:
    return _group(x, num_groups, weight, bias, eps).definition()


def group_norm_gradients(
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    grad_output: Array,
) -> tuple[Definition, ...]:
    return _group(x, num_groups, weight, bias, eps).gradients(grad_output)


def _group(x: Array, groups: int, weight: Any, bias: Any, eps: float) -> Norm:
    view = len(x), groups, x.shape[1] // groups, *x.shape[2:]
    return Norm(x, view, (2, 3, 4), (x.shape[1], 1, 1), weight, bias, eps)


def instance_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Definition:
    return group_norm(x, x.shape[1], weight, bias, eps)


def instance_norm_gradients(
    x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5, *, grad_output: Array
) -> tuple[Definition, ...]:
    return _group(x, x.shape[1], weight, bias, eps).gradients(grad_output)


def layer_norm(
    x: Array, normalized_shape: Any, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Definition:
    return _layer(x, normalized_shape, weight, bias, eps).definition()


def layer_norm_gradients(
    x: Array,
    normalized_shape: Any,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    grad_output: Array,
) -> tuple[Definition, ...]:
    return _layer(x, normalized_shape, weight, bias, eps).gradients(grad_output)


def _layer(x: Array, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Norm:
    last = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    return Norm(x, x.shape, tuple(range(-len(last), 0)), last, weight, bias, eps)
