"""Activations and their slopes, number by number, and the norm over neighbouring channels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fastconv.bench.oracle.definitions.common import Array, Box, Definition, Part

STEEPEST = 1.5  # slope of any activation but a leaky one of a larger parameter


def _sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))


def _sigmoid_slope(v: float) -> float:
    s = _sigmoid(v)
    return s * (1 - s)


def _leaky(v: float, slope: float = 0.01) -> float:
    return v if v >= 0 else slope * v


def _leaky_slope(v: float, slope: float = 0.01) -> float:
    return 1.0 if v > 0 else slope


def _clip(v: float, low: float, high: float) -> float:
    return min(max(v, low), high)


def _clip_slope(v: float, low: float, high: float) -> float:
    return float(low < v < high)


def _hardswish_slope(v: float) -> float:
    return 0.0 if v <= -3 else 1.0 if v >= 3 else (2 * v + 3) / 6


def _gelu_slope(v: float) -> float:
    return 0.5 * math.erfc(-v / math.sqrt(2)) + v * math.exp(-v * v / 2) / math.sqrt(2 * math.pi)


# By their names: the activation, and its slope at a number.
ACTIVATIONS: dict[str, tuple[Callable[..., float], Callable[..., float]]] = {
    "relu": (lambda v: max(v, 0.0), lambda v: float(v > 0)),
    "relu6": (lambda v: min(max(v, 0.0), 6.0), lambda v: float(0 < v < 6)),
    "leaky_relu": (_leaky, _leaky_slope),
    "clip": (_clip, _clip_slope),
    "sigmoid": (_sigmoid, _sigmoid_slope),
    "tanh": (math.tanh, lambda v: 1 / math.cosh(v) ** 2 if abs(v) < 300 else 0.0),
    "silu": (lambda v: v * _sigmoid(v), lambda v: _sigmoid(v) + v * _sigmoid_slope(v)),
    "hardswish": (lambda v: v * (min(max(v + 3, 0.0), 6.0) / 6), _hardswish_slope),
    "gelu": (lambda v: v * 0.5 * math.erfc(-v / math.sqrt(2)), _gelu_slope),
}


def activate(x: Array, activation: Any) -> Array:
    """The activation of finished outputs: None, a name, or a name and its parameters. A NaN stays a NaN."""
    if activation is None:
        return x
    name, parameters = _read(activation)
    function = ACTIVATIONS[name][0]
    values = [v if math.isnan(v) else function(v, *parameters) for v in map(float, x.flat)]
    return np.array(values, np.float64).reshape(x.shape)


def slopes(x: Array, activation: Any) -> Array:
    """The slope of the activation at what goes into it."""
    name, parameters = _read(activation)
    function = ACTIVATIONS[name][1]
    return np.array([function(v, *parameters) for v in map(float, x.flat)], np.float64).reshape(x.shape)


def _read(activation: Any) -> tuple[str, tuple[float, ...]]:
    name, *parameters = (activation,) if isinstance(activation, str) else activation
    return name, tuple(parameters)


def activated(definition: Definition, activation: Any) -> Definition:
    """A result after its activation, which makes errors larger by its slope and rounds once more."""
    if activation is None:
        return definition
    name, parameters = _read(activation)
    steepest = max(STEEPEST, *map(abs, parameters)) if name == "leaky_relu" else STEEPEST

    def at(box: Box) -> Part:
        values, bound = definition.at(box)
        values = activate(values, activation)
        return values, steepest * bound + np.abs(values)

    return replace(definition, at=at)


def activation(grad_output: Array, preactivation: Array, name: Any) -> Array:
    """The gradient of an activation."""
    return grad_output * slopes(preactivation, name)


def local_response_norm(
    x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Definition:
    near = _near(x.shape[1], size)

    def at(box: Box) -> Part:
        c = box[1]
        pixels = _all_channels(x, box)
        base = k + alpha / size * np.einsum("cd,ndij->ncij", near[c], pixels**2)
        values = pixels[:, c] * base**-beta
        return values, np.abs(values)

    return Definition(x.shape, min(size, x.shape[1]), at, whole=(1,))


def local_response_norm_gradient(
    grad_output: Array, x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Definition:
    """The Jacobian of the channels at every pixel, which is 0 but near its diagonal."""
    near = _near(x.shape[1], size)

    def at(box: Box) -> Part:
        c = box[1]
        pixels, grad = _all_channels(x, box), _all_channels(grad_output, box)
        base = k + alpha / size * np.einsum("cd,ndij->ncij", near, pixels**2)
        own = grad * base**-beta
        outer = grad * pixels * base ** (-beta - 1)
        inner = -2 * alpha * beta / size * pixels[:, c]
        values = own[:, c] + inner * np.einsum("dc,ndij->ncij", near[:, c], outer)
        bound = np.abs(inner) * np.einsum("dc,ndij->ncij", near[:, c], np.abs(outer))
        return values, np.abs(own[:, c]) + bound

    return Definition(x.shape, min(size, x.shape[1]), at, whole=(1,))


def _near(channels: int, size: int) -> Array:
    """(c, d): 1 where channel d is among the `size` around channel c."""
    distance = np.arange(channels) - np.arange(channels)[:, None] + size // 2
    return ((distance >= 0) & (distance < size)).astype(np.float64)


def _all_channels(x: Array, box: Box) -> Array:
    n, _, i, j = box
    return x[np.ix_(n, np.arange(x.shape[1]), i, j)].astype(np.float64)
