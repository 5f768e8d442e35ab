"""Elementwise activations, their slopes, and the error function that NumPy lacks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv.problem.options import Activation
from fastconv.typing import Array


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
        return x * _sigmoid(x)
    if name == "hardswish":
        return x * np.clip(x + 3, 0, 6) / 6
    assert name == "gelu", name
    return (x * 0.5 * (1 + erf(x * math.sqrt(0.5)))).astype(x.dtype)


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
    if name in ("sigmoid", "tanh"):
        return _slope_of_output(name, _sigmoid(x) if name == "sigmoid" else np.tanh(x))
    if name == "silu":
        y = _sigmoid(x)
        return y * (1 + x * (1 - y))
    if name == "hardswish":
        return np.where(x <= -3, 0, np.where(x < 3, x / 3 + 0.5, 1))
    assert name == "gelu", name
    with np.errstate(over="ignore"):  # x * x = inf gives the right 0
        density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return 0.5 * (1 + erf(x * math.sqrt(0.5))) + x * density


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):  # exp(-x) = inf gives the right 0
        return 1 / (1 + np.exp(-x))


def erf(x: Array) -> Array:
    """The error function in float64, to about 1e-15.

    Below 3, Kummer's series erf(x) = 2/sqrt(pi) * exp(-x**2) * sum of 2**n * x**(2n+1) / (2n+1)!!, whose terms are
    all positive (Abramowitz & Stegun 7.1.6); above, Laplace's continued fraction of erfc (7.1.14).
    """
    z = np.abs(x.astype(np.float64))
    small = np.minimum(z, 3.0)
    term = small.copy()
    series = term.copy()
    for n in range(1, 60):
        term *= 2 * small * small / (2 * n + 1)
        series += term
    series *= 2 / math.sqrt(math.pi) * np.exp(-small * small)
    large = np.clip(z, 3.0, 30.0)
    fraction = large.copy()
    for n in range(60, 0, -1):
        fraction = large + n / 2 / fraction
    tail = 1 - np.exp(-large * large) / math.sqrt(math.pi) / fraction
    result: Array = np.copysign(np.where(z < 3, series, tail), x)
    return np.where(np.isnan(x), np.nan, result)
