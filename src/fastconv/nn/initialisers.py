"""How weights begin: functions of a shape, a generator and a dtype.

The fan of a weight ``(outer, inner, *kernel)`` is ``inner * prod(kernel)`` numbers in, ``outer * prod(kernel)`` out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.typing import Array

Initialiser = Callable[[tuple[int, ...], np.random.Generator, Any], Array]


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    taps = math.prod(shape[2:])
    inner = shape[1] if len(shape) > 1 else 1
    return inner * taps, shape[0] * taps  # pyright: ignore  (a shape of any length)


def zeros(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> Array:
    """All zeros; memory is touched when it is written to."""
    return np.zeros(shape, dtype)


def ones(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> Array:
    """All ones."""
    return np.ones(shape, dtype)


def normal(deviation: float = 0.01) -> Initialiser:
    """Normal numbers with a standard deviation.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.initialisers.normal(0.1)((2, 3), np.random.default_rng(0), np.float32).shape
    (2, 3)
    """

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> Array:
        return _normal(shape, rng, dtype, deviation)

    return draw


def uniform(limit: float = 0.05) -> Initialiser:
    """Numbers between ``-limit`` and `limit`."""

    def draw(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> Array:
        return _uniform(shape, rng, dtype, limit)

    return draw


def _normal(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any, deviation: float) -> Array:
    """In float32 as in float64 the same numbers, but for rounding."""
    values = rng.standard_normal(shape) * deviation
    return values.astype(dtype)


def _uniform(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any, limit: float) -> Array:
    return rng.uniform(-limit, limit, shape).astype(dtype)


def he(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> Array:
    """Normal numbers of variance ``2 / fan_in``: He et al., "Delving Deep into Rectifiers", 2015."""
    return _normal(shape, rng, dtype, math.sqrt(2 / _fans(shape)[0]))


def he_uniform(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> Array:
    """As `he`, of uniform numbers."""
    return _uniform(shape, rng, dtype, math.sqrt(6 / _fans(shape)[0]))


def glorot(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> Array:
    """Uniform numbers of variance ``2 / (fan_in + fan_out)``: Glorot and Bengio, "Understanding the Difficulty of
    Training Deep Feedforward Neural Networks", 2010. Also called Xavier's; what Keras does by default."""
    return _uniform(shape, rng, dtype, math.sqrt(6 / sum(_fans(shape))))


def glorot_normal(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> Array:
    """As `glorot`, of normal numbers."""
    return _normal(shape, rng, dtype, math.sqrt(2 / sum(_fans(shape))))


def lecun(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> Array:
    """Normal numbers of variance ``1 / fan_in``: LeCun et al., "Efficient BackProp", 1998."""
    return _normal(shape, rng, dtype, math.sqrt(1 / _fans(shape)[0]))


def orthogonal(shape: tuple[int, ...], rng: np.random.Generator, dtype: Any) -> Array:
    """Orthonormal rows or columns: Saxe et al., "Exact Solutions to the Nonlinear Dynamics of Learning", 2014."""
    rows, columns = shape[0], math.prod(shape[1:])
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return (q if rows >= columns else q.T).reshape(shape).astype(dtype)


NAMED: dict[str, Initialiser] = {
    "zeros": zeros,
    "ones": ones,
    "normal": normal(),
    "uniform": uniform(),
    "he": he,
    "he_normal": he,
    "kaiming": he,
    "kaiming_normal": he,
    "he_uniform": he_uniform,
    "kaiming_uniform": he_uniform,
    "glorot": glorot,
    "glorot_uniform": glorot,
    "xavier": glorot,
    "xavier_uniform": glorot,
    "glorot_normal": glorot_normal,
    "xavier_normal": glorot_normal,
    "lecun": lecun,
    "lecun_normal": lecun,
    "orthogonal": orthogonal,
}


def initialiser(value: Any) -> Initialiser:
    """The one that a word means, or a callable itself."""
    if callable(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, str) and value in NAMED:
        return NAMED[value]
    raise ValueError(f"init is {value!r}, but needs a callable or one of {', '.join(map(repr, NAMED))}")
