"""Activations and their slopes where the definition's words fail: at infinity they are the limits, NaN stays NaN, and
from the largest to subnormal numbers they are what float64 says."""

import math

import numpy as np
import pytest

import fastconv
from checks import assert_close, eps, from_layout, to_layout, weight_to_layout
from fastconv import grad
from fastconv.bench.oracle.definitions.pointwise import ACTIVATIONS

# The value of an activation, and its slope, at -infinity and at infinity.
LIMITS = {
    "relu": ((0, np.inf), (0, 1)),
    "relu6": ((0, 6), (0, 0)),
    "leaky_relu": ((-np.inf, np.inf), (0.01, 1)),
    ("clip", -0.5, 1.25): ((-0.5, 1.25), (0, 0)),
    "sigmoid": ((0, 1), (0, 0)),
    "tanh": ((-1, 1), (0, 0)),
    "silu": ((0, np.inf), (0, 1)),
    "hardswish": ((0, np.inf), (0, 1)),
    "gelu": ((0, np.inf), (0, 1)),
}


def values(dtype):
    """From -infinity to infinity, as many as fill and do not fill vectors; the last is NaN."""
    info = np.finfo(dtype)
    sizes = [info.max, info.max / 2, 1e30, 1e4, 750, 120, 104, 90, 88.5, 88, 39, 20, 6, 4, 3, 1, 1e-3, 1e-30]
    positive = np.array([np.inf, *sizes, info.smallest_normal, info.smallest_subnormal, 0], dtype)
    return np.concatenate([-positive, positive[::-1], [np.nan]]).astype(dtype)


def definition(x, at_finite, limits):
    """Float64 values of a function at `x`, of which NaN is NaN."""
    known = {-math.inf: limits[0], math.inf: limits[1]}
    return np.array([v if math.isnan(v) else known[v] if math.isinf(v) else at_finite(v) for v in x])


def parts(activation):
    return (activation,) if isinstance(activation, str) else activation


def tolerance(x, expected, dtype):
    """Relative: exp(v) errs as v does, which is x**2 / 2 at most; subnormal results may be flushed."""
    with np.errstate(over="ignore", invalid="ignore"):
        relative = np.clip(x * x, 16, 1600) * eps(dtype) * np.abs(expected)
    # 88 * exp(-88): what is left of silu where the exponential has reached its end.
    return np.nan_to_num(relative, posinf=0) + 120 * float(np.finfo(dtype).smallest_normal)


@pytest.mark.parametrize("activation", LIMITS, ids=str)
@pytest.mark.parametrize("operation", ["conv2d", "depthwise_conv2d", "conv_transpose2d"])
def test_values(backend, layout, dtype, activation, operation):
    x = values(dtype)
    name, *parameters = parts(activation)
    function = ACTIVATIONS[name][0]
    expected = definition(x.astype(np.float64), lambda v: function(v, *parameters), LIMITS[activation][0])
    image = to_layout(x.reshape(1, 1, 1, -1), layout)
    weight = weight_to_layout(np.ones((1, 1, 1, 1), dtype), layout)
    actual = getattr(fastconv, operation)(image, weight, layout=layout, activation=activation)
    assert_close(
        from_layout(actual, layout), expected.reshape(1, 1, 1, -1), tolerance(x, expected, dtype), dtype
    )


@pytest.mark.parametrize("activation", LIMITS, ids=str)
def test_slopes(backend, dtype, activation):
    x = values(dtype)
    # Subnormal numbers count as 0, which is a kink of some.
    x = x[~((x != 0) & (np.abs(x) < np.finfo(dtype).smallest_normal))]
    name, *parameters = parts(activation)
    function = ACTIVATIONS[name][1]
    with np.errstate(all="ignore"):
        expected = definition(x.astype(np.float64), lambda v: function(v, *parameters), LIMITS[activation][1])
    smooth = name in ("sigmoid", "tanh", "silu", "hardswish", "gelu")
    if not smooth:
        x, expected = x[:-1], expected[:-1]  # NaN is on neither side of a kink
    error = 16 * eps(dtype) + tolerance(x, expected, dtype)
    actual = grad.activation(np.ones_like(x), None, activation, preactivation=x)
    assert_close(actual, expected, error, dtype)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_small_slopes_keep_their_digits(backend, dtype, name):
    x = np.array([-30, -20, -9, 9, 20, 30], dtype)
    expected = np.exp(-np.abs(x.astype(np.float64)) * (1 if name == "sigmoid" else 2))
    expected = expected / (1 + expected) ** 2 * (1 if name == "sigmoid" else 4)
    actual = grad.activation(np.ones_like(x), None, name, preactivation=x)
    assert_close(actual, expected, 60 * eps(dtype) * expected, dtype)


def test_a_constant_part_stops_infinity(backend, dtype):
    x = np.array([-4, -3, 3, 4], dtype)
    slope = np.full_like(x, np.inf)
    actual = grad.activation(slope, None, "hardswish", preactivation=x)
    np.testing.assert_array_equal(actual, [0, 0, np.inf, np.inf])
