"""Activations that take an exponential, and their slopes: of one float64 number each.

Called by `epilogue.py` and `grad_activation.py`, with float32 numbers, too, which lose nothing then. They have no
branches, so that loops over them are vectors. Where exp(x) may be no normal number, but its multiple is, it is the
square of exp(x / 2).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv.backends import constants
from fastconv.backends.numba.compile import inner, unsigned

# Beyond, exp(-abs(x)) is 0: what is multiplied with it is limited to this, so that infinity gives the limit.
_FAR = 1500.0
_POLE, _MOST, _UPPER_BITS = constants.POLE, constants.MOST, constants.UPPER_BITS
_SHARE, _SLOPE = np.array(constants.SHARE), np.array(constants.SLOPE)
_GELU_HIGH, _GELU_LOW = constants.ZERO
# The slope of silu is 0 at z = -1 - k, where exp(z) = k.
_SILU_AT_ZERO = constants.SILU_AT_ZERO
_LOG_HIGH, _LOG_LOW, _LOG_LEAST = constants.SILU_LOG
_SILU_HIGH, _SILU_LOW = constants.SILU_ZERO
_NEAR = 0.35  # the zero: there exp(x - log k) - 1 is a series
_SERIES = np.array([1 / math.factorial(n) for n in range(15, 0, -1)])


@inner
def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + math.exp(-x))


@inner
def tanh(x: Any) -> Any:
    """As accurate as math.tanh, in half the time."""
    e = math.expm1(-2.0 * abs(x))
    return math.copysign(e / (e + 2.0), x)


@inner
def silu(x: Any) -> Any:
    low = -_FAR if x < -_FAR else x
    root = math.exp(-0.5 * abs(low))
    return (low * root * root if x < 0.0 else x) / (1.0 + root * root)


@inner
def gelu(x: Any) -> Any:
    """Below 0 that is -t share(-t), which is subtracted from x above."""
    t = abs(x)
    t = _MOST if t > _MOST else t
    place = _place(t)
    return (0.0 if x < 0.0 else x) - _times_density(place * _polynomial(_SHARE, 2.0 * place - 1.0), t)


@inner
def sigmoid_slope(x: Any) -> Any:
    e = math.exp(-abs(x))
    return e / (1.0 + e * (2.0 + e))


@inner
def tanh_slope(x: Any) -> Any:
    root = 2.0 * math.exp(-abs(x))
    e = root * root * 0.25
    return root * root / (1.0 + e * (2.0 + e))


@inner
def silu_slope(x: Any) -> Any:
    """Below 0 ``(exp(x) + x + 1) exp(x) / (1 + exp(x))**2``; the sum, near its zero, as that of two numbers of equal
    sign."""
    near = _FAR if x > _FAR else x
    near = -_FAR if near < -_FAR else near
    root = math.exp(-0.5 * abs(near))
    e = root * root
    distance = near - _SILU_HIGH
    lost = (near - distance) - _SILU_HIGH
    from_log = ((near - _LOG_HIGH) - _LOG_LOW) - _LOG_LEAST
    rest = from_log * _polynomial(_SERIES, from_log)
    at_zero = _SILU_AT_ZERO * rest + (lost - _SILU_LOW) + distance
    factor = at_zero if abs(distance) < _NEAR else e + (1.0 + near)
    above = 1.0 + (near + 1.0) * e
    return (factor * root * root if x < 0.0 else above) / (1.0 + e * (2.0 + e))


@inner
def gelu_slope(x: Any) -> Any:
    t = abs(x)
    t = _MOST if t > _MOST else t
    factor = ((_GELU_HIGH - t) + _GELU_LOW) * _polynomial(_SLOPE, 2.0 * _place(t) - 1.0)
    below = _times_density(factor, t)
    return below if x < 0.0 else 1.0 - below


@inner
def _place(t: Any) -> Any:
    """t / (t + POLE) with what the sum's rounding lost."""
    total = t + _POLE
    place = t / total
    return place - place * (1.0 - place) * (t - (total - _POLE)) / _POLE


@inner
def _polynomial(series: Any, x: Any) -> Any:
    total = 0.0
    for k in range(unsigned(series.size)):
        total = total * x + series[k]
    return total


@inner
def _times_density(factor: Any, t: Any) -> Any:
    """``factor * exp(-t**2 / 2)``; the square is that of t's upper bits, which is exact, and what is left."""
    high = (t + _UPPER_BITS) - _UPPER_BITS
    less = (t - high) * (t + high) * -0.5
    root = math.exp(-0.25 * high * high)
    return factor * root * root * (1.0 + less * (1.0 + less * (0.5 + less / 6.0)))
