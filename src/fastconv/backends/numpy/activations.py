"""Elementwise activations, their slopes, and the normal distribution, which NumPy lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.backends import constants
from fastconv.problem.options import Activation
from fastconv.typing import Array

# Beyond, exp(-abs(x)) and the normal density of x are 0: what is multiplied with them is limited to this, so that
# infinity gives the limit.
_FAR = 1000.0
_DEEP = -700.0  # below, exp(x) is soon no normal number


def apply(activation: Activation, x: Array) -> Array:
    name, a, b = activation
    result: Array
    if name == "relu":
        return np.maximum(x, 0)
    if name == "clip":
        return np.clip(x, a, b)
    if name == "leaky_relu":
        return np.where(x > 0, x, a * x).astype(x.dtype)
    if name == "hardswish":
        result = np.maximum(x, -3) * (np.clip(x + 3, 0, 6) / 6)
        return result
    result = _FUNCTIONS[name](x.astype(np.float64)).astype(x.dtype)
    return result


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
        inner = np.where(value >= 3, grad_output, grad_output * ((2 * np.minimum(value, 3) + 3) / 6))
        return np.where(value <= -3, 0, inner)
    elif from_output:  # products of exact factors, where there is a difference
        slope = value * (1 - value) if name == "sigmoid" else (1 - value) * (1 + value)
    else:
        slope = _SLOPES[name](value.astype(np.float64)).astype(value.dtype)
    result: Array = grad_output * slope
    return result


def _times_exp(factor: Any, x: Array, less: Any = 0.0) -> Any:
    """``factor * exp(x - less)``, also where only the product is a normal number; `less` is small."""
    near = np.maximum(x, _DEEP)
    return factor * np.exp(near) * np.exp((x - near) - less)


def _sigmoid(x: Array) -> Any:
    with np.errstate(over="ignore"):  # exp(-x) = inf gives the right 0
        return 1 / (1 + np.exp(-x))


def _silu(x: Array) -> Any:
    low = np.maximum(x, -_FAR)
    return np.where(x < 0, _times_exp(low, np.minimum(low, 0)), x) / (1 + np.exp(-np.abs(x)))


def _gelu(x: Array) -> Any:
    """Below 0 that is -t share(-t), which is subtracted from x above."""
    t, place = _distance(x)
    return np.maximum(x, 0) - _times_density(place * _polynomial(constants.SHARE, place), t)


def normal_share(x: Array) -> Array:
    """The normal distribution, erfc(-x / sqrt 2) / 2, in float64."""
    t, place = _distance(x.astype(np.float64))
    below = _times_density(_polynomial(constants.SHARE, place) / (t + constants.POLE), t)
    result: Array = np.where(x < 0, below, 1 - below)
    return result


def _sigmoid_slope(x: Array) -> Any:
    e = np.exp(-np.abs(x))
    return e / (1 + e) ** 2


def _tanh_slope(x: Array) -> Any:
    double = -2 * np.minimum(np.abs(x), _FAR)
    return _times_exp(4, double) / (1 + np.exp(double)) ** 2


def _silu_slope(x: Array) -> Any:
    """Below 0 ``(exp(x) + x + 1) exp(x) / (1 + exp(x))**2``; the sum, near its zero, as that of two numbers of equal
    sign."""
    e = np.exp(-np.abs(x))
    above = 1 + (np.minimum(x, _FAR) + 1) * e
    low = np.clip(x, -_FAR, 0)
    distance = low - constants.SILU_ZERO[0]
    lost = (low - distance) - constants.SILU_ZERO[0]
    from_log = ((low - constants.SILU_LOG[0]) - constants.SILU_LOG[1]) - constants.SILU_LOG[2]
    below = constants.SILU_AT_ZERO * np.expm1(from_log) + (lost - constants.SILU_ZERO[1]) + distance
    return np.where(x < 0, _times_exp(below, low), above) / (1 + e) ** 2


def _gelu_slope(x: Array) -> Any:
    t, place = _distance(x)
    below = _times_density(
        ((constants.ZERO[0] - t) + constants.ZERO[1]) * _polynomial(constants.SLOPE, place), t
    )
    return np.where(x < 0, below, 1 - below)


_FUNCTIONS: dict[str, Callable[[Array], Any]] = {
    "sigmoid": _sigmoid, "tanh": np.tanh, "silu": _silu, "gelu": _gelu,
}  # fmt: skip
_SLOPES: dict[str, Callable[[Array], Any]] = {
    "sigmoid": _sigmoid_slope, "tanh": _tanh_slope, "silu": _silu_slope, "gelu": _gelu_slope,
}  # fmt: skip


# ---- the normal distribution ----


def _distance(x: Array) -> tuple[Any, Any]:
    """t = abs(x), limited, and t / (t + POLE) with what the sum's rounding lost."""
    t = np.minimum(np.abs(x), constants.MOST)
    total = t + constants.POLE
    place = t / total
    return t, place - place * (1 - place) * (t - (total - constants.POLE)) / constants.POLE


def _polynomial(series: tuple[float, ...], place: Array) -> Any:
    at = 2 * place - 1
    total: Any = series[0]
    for coefficient in series[1:]:
        total = total * at + coefficient
    return total


def _times_density(factor: Array, t: Array) -> Any:
    """``factor * exp(-t**2 / 2)``; the square is that of t's upper bits, which is exact, and what is left."""
    high = (t + constants.UPPER_BITS) - constants.UPPER_BITS
    return _times_exp(factor, -0.5 * high * high, (t - high) * (t + high) * 0.5)
