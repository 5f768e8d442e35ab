"""Elementwise activations, their slopes, and the normal distribution, which NumPy lacks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv.problem.options import Activation
from fastconv.typing import Array

# Beyond, exp(-abs(x)) and the normal density of x are 0: what is multiplied with them is limited to this, so that
# infinity gives the limit.
_FAR = 1000.0


def apply(activation: Activation, x: Array) -> Array:
    result: Array = _apply(*activation, x)
    return result


def _apply(name: str, a: float, b: float, x: Array) -> Any:
    if name == "relu":
        return np.maximum(x, 0)
    if name == "clip":
        return np.clip(x, a, b)
    if name == "leaky_relu":
        return np.where(x > 0, x, a * x).astype(x.dtype)
    if name == "sigmoid":
        return _sigmoid(x)
    if name == "tanh":
        return np.tanh(x)
    if name == "silu":
        return np.maximum(x, -_FAR) * _sigmoid(x)
    if name == "hardswish":
        return np.maximum(x, -3) * (np.clip(x + 3, 0, 6) / 6)
    assert name == "gelu", name
    return (np.maximum(x, -_FAR) * normal_share(x)).astype(x.dtype)


def apply_slope(activation: Activation, grad_output: Array, value: Array, from_output: bool) -> Array:
    """`grad_output` times the slope at `value`, which is the activation's output, or else its input."""
    name, a, b = activation
    slope: Any
    if name == "relu":
        return np.where(value <= 0, 0, grad_output)
    if name == "clip":
        return np.where((value <= a) | (value >= b), 0, grad_output)
    if name == "leaky_relu":
        slope = np.where(value > 0, value.dtype.type(1), a)
    elif name == "hardswish":
        inner = np.where(value >= 3, grad_output, grad_output * (np.minimum(value, 3) / 3 + 0.5))
        return np.where(value <= -3, 0, inner)
    else:
        slope = _slope_of_output(name, value) if from_output else _slope_of_input(name, value)
    result: Array = grad_output * slope
    return result


def _slope_of_output(name: str, y: Array) -> Any:
    if name == "sigmoid":
        return y * (1 - y)
    assert name == "tanh", name
    return 1 - y * y


def _slope_of_input(name: str, x: Array) -> Any:
    """Those with e = exp(-|x|) keep their digits where they are small."""
    near = np.clip(x, -_FAR, _FAR)
    if name in ("sigmoid", "tanh"):
        e = np.exp(-np.abs(near if name == "sigmoid" else 2 * near))
        return (1 if name == "sigmoid" else 4) * e / (1 + e) ** 2
    if name == "silu":  # s + x * s'
        e = np.exp(-np.abs(near))
        return (np.where(x < 0, e, 1) + near * e / (1 + e)) / (1 + e)
    assert name == "gelu", name
    return normal_share(x) + near * np.exp(-0.5 * near * near) / math.sqrt(2 * math.pi)


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):  # exp(-x) = inf gives the right 0
        return 1 / (1 + np.exp(-x))


def normal_share(x: Array) -> Array:
    """The normal distribution, erfc(-x / sqrt 2) / 2, in float64 to about 2e-13 of itself.

    With z = abs(x) / sqrt 2 below 1.5, Kummer's series erf(z) = 2/sqrt(pi) * exp(-z**2) * sum of 2**n * z**(2n+1) /
    (2n+1)!!, whose terms are all positive (Abramowitz & Stegun 7.1.6); above, Laplace's continued fraction of
    erfc (7.1.14).
    """
    z = np.abs(x.astype(np.float64)) * math.sqrt(0.5)
    small = np.minimum(z, 1.5)
    term = small.copy()
    series = term.copy()
    for n in range(1, 60):
        term *= 2 * small * small / (2 * n + 1)
        series += term
    series *= 2 / math.sqrt(math.pi) * np.exp(-small * small)
    large = np.clip(z, 1.5, 30.0)
    fraction = large.copy()
    for n in range(60, 0, -1):
        fraction = large + n / 2 / fraction
    tail = np.where(z < 1.5, 1 - series, np.exp(-large * large) / math.sqrt(math.pi) / fraction) / 2
    result: Array = np.where(x < 0, tail, 1 - tail)
    return np.where(np.isnan(x), np.nan, result)
