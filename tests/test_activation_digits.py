"""How many units in the last place activations and their slopes err, from the largest to the smallest
normal numbers and beside the zeros of slopes: less than 4. The reference for float64 is exact to hundreds of digits."""

import decimal
import functools
import math
from decimal import Decimal

import numpy as np
import pytest

import fastconv
from fastconv import grad

# The largest error that a million random numbers showed, in units in the last place, for (baseline, avx2, avx512).
FLOAT = {
    "sigmoid": (2.3, 2.3, 2.3),
    "tanh": (2.4, 2.4, 2.4),
    "silu": (2.4, 2.4, 2.4),
    "hardswish": (2.0, 2.0, 2.0),
    "gelu": (3.9, 3.6, 3.6),
    "sigmoid slope": (2.4, 2.4, 2.4),
    "tanh slope": (2.4, 2.4, 2.4),
    "silu slope": (3.6, 3.6, 3.6),
    "hardswish slope": (2.0, 2.0, 2.0),
    "gelu slope": (3.7, 3.4, 3.4),
}
DOUBLE = FLOAT | {
    "gelu": (3.4, 2.9, 2.9),
    "silu slope": (3.4, 3.3, 3.3),
    "gelu slope": (3.3, 3.0, 3.0),
}
# Of the backends written in Python, which compute float32 in float64.
ROUNDED = dict.fromkeys(FLOAT, 1.2) | {"hardswish": 2.0}
PYTHON = {
    "sigmoid": 2.0,
    "tanh": 2.9,
    "silu": 3.5,
    "hardswish": 2.0,
    "gelu": 3.8,
    "sigmoid slope": 3.6,
    "tanh slope": 3.4,
    "silu slope": 3.9,
    "hardswish slope": 2.0,
    "gelu slope": 3.8,
}
WORST = {np.dtype(np.float32): FLOAT, np.dtype(np.float64): DOUBLE}
ZEROS = (-1.2784645427610738, -0.7517915246935645, -1.5, -3.0)  # of the slopes, and the kink of hardswish
DIGITS = 400  # enough for the differences below where x is as small, or the result


def exponential(x):
    return x.exp() if isinstance(x, Decimal) else math.exp(x)


@functools.cache
def root_of_two_pi():
    """By Machin's formula."""
    with decimal.localcontext(prec=DIGITS + 10):

        def arctangent(n):
            power, total, k = Decimal(1) / n, Decimal(0), 0
            while abs(power) > Decimal(10) ** -(DIGITS + 10):
                total += power / (2 * k + 1)
                power, k = -power / (n * n), k + 1
            return total

        return (8 * (4 * arctangent(5) - arctangent(239))).sqrt()


def density(x):
    return (
        (-x * x / 2).exp() / root_of_two_pi()
        if isinstance(x, Decimal)
        else math.exp(-x * x / 2) / (2 * math.pi) ** 0.5
    )


def share(x):
    """The normal distribution; the sum over x (x^2)^k / (1 3 5 ... (2k + 1)) has no differences."""
    if not isinstance(x, Decimal):
        return math.erfc(-x / 2**0.5) / 2
    if abs(x) > 50:  # by so little is it 0 or 1 there, which no double shows
        return Decimal(x > 0) - density(x) / x * (1 - 1 / (x * x))
    term = total = x
    k = 1
    while abs(term) > abs(total) * Decimal(10) ** -DIGITS:
        k += 2
        term = term * x * x / k
        total += term
    return Decimal("0.5") + density(x) * total


def gate(x):
    return min(max(x + 3, 0 * x), 0 * x + 6) / 6


def tangent(x):
    return math.tanh(x) if not isinstance(x, Decimal) else 1 - 2 / (1 + (2 * x).exp())


def bell(x):
    """exp(x) / (1 + exp(x))^2."""
    e = exponential(-abs(x))
    return e / (1 + e) ** 2


def silu_slope(x):
    e = exponential(-abs(x))
    return (1 + (x + 1) * e) / (1 + e) ** 2 if x > 0 else (e + x + 1) * e / (1 + e) ** 2


DEFINITIONS = {
    "sigmoid": lambda x: 1 / (1 + exponential(-x)),
    "tanh": tangent,
    "silu": lambda x: x / (1 + exponential(-x)),
    "hardswish": lambda x: x * gate(x),
    "gelu": lambda x: x * share(x),
    "sigmoid slope": bell,
    "tanh slope": lambda x: 4 * bell(2 * x),
    "silu slope": silu_slope,
    "hardswish slope": lambda x: (x * 2 + 3) / 6 if -3 < x < 3 else (1 if x > 0 else 0) * (x * 0 + 1),
    "gelu slope": lambda x: share(x) + x * density(x),
}


@functools.cache
def inputs(dtype):
    """Over the whole range, over that of the normal distribution, of every size, and near the zeros of slopes."""
    rng = np.random.default_rng(3)
    n, most, normal, smallest = (8000, 95, 14, -85) if dtype == np.float32 else (40, 715, 38.5, -700)
    every_size = np.exp(rng.uniform(smallest, 4, n)) * rng.choice([-1, 1], n)
    near = [zero * (1 + rng.uniform(-1, 1, n) * np.exp(rng.uniform(smallest / 5, 0, n))) for zero in ZEROS]
    parts = [
        rng.uniform(-most, most, n),
        rng.uniform(-normal, normal, n),
        rng.uniform(-4, 4, n),
        every_size,
        *near,
    ]
    return np.concatenate([*parts, ZEROS]).astype(dtype)


@functools.cache
def exact(name, dtype):
    """(value, unit in the last place) at every input: float64 for float32, and for float64 a pair of numbers."""
    definition, values = DEFINITIONS[name], inputs(dtype)
    if dtype == np.float32:
        high = np.array([definition(v) for v in values.tolist()])
        low = np.zeros_like(high)
    else:
        with decimal.localcontext(prec=DIGITS):
            found = [definition(Decimal(v)) for v in values.tolist()]
            high = np.array([float(v) for v in found])
            low = np.array([float(v - Decimal(h)) for v, h in zip(found, high.tolist(), strict=True)])
    return high, low, np.spacing(np.abs(high).astype(dtype)).astype(np.float64)


def computed(name, x):
    activation = name.split()[0]
    if name.endswith("slope"):
        return grad.activation(np.ones_like(x), None, activation, preactivation=x)
    return fastconv.conv2d(
        x.reshape(1, 1, 1, -1), np.ones((1, 1, 1, 1), x.dtype), activation=activation
    ).ravel()


def most(backend, dtype, name):
    if backend != "cython":
        return (ROUNDED if dtype == np.float32 else PYTHON)[name]
    from fastconv.backends import cython

    return WORST[dtype][name][("baseline", "avx2", "avx512").index(cython.INSTRUCTION_SET)]


@pytest.mark.slow("cython-avx2")
@pytest.mark.parametrize("name", FLOAT)
def test_less_than_four_units_in_the_last_place(backend, dtype, name):
    x = inputs(np.dtype(dtype))
    high, low, unit = exact(name, np.dtype(dtype))
    actual = computed(name, x).astype(np.float64)
    smallest = float(np.finfo(dtype).smallest_normal)
    normal = np.abs(high) >= smallest
    assert normal.sum() > 0.6 * len(x)
    errors = np.abs((actual - high) - low)[normal] / unit[normal]
    assert errors.max() <= most(backend, np.dtype(dtype), name) < 4, (
        x[normal][errors.argmax()],
        errors.max(),
    )
    assert (np.abs(actual[~normal]) <= smallest).all()
