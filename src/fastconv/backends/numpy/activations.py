"""Elementwise activations, and the error function that NumPy lacks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.options import Activation

Array = NDArray[Any]


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
