"""Activations: elementwise, and those along an axis."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from fastconv.graph.operations.arithmetic import error_function
from fastconv.graph.operations.rules import broadcast, same
from fastconv.graph.operations.table import Reading, operation, upgrade
from fastconv.typing import Array


@operation("Relu", rule=same)
def relu(x: Array) -> Any:
    return np.maximum(x, 0)


@operation("LeakyRelu", rule=same)
def leaky_relu(x: Array, *, alpha: float = 0.01) -> Any:
    return np.where(x < 0, x * alpha, x)


@operation("PRelu", rule=same)
def parametric_relu(x: Array, slope: Array) -> Any:
    return np.where(x < 0, x * slope, x)


@operation("Elu", rule=same)
def elu(x: Array, *, alpha: float = 1.0) -> Any:
    return np.where(x < 0, alpha * np.expm1(x), x)


@operation("Selu", rule=same)
def selu(
    x: Array, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> Any:
    return gamma * np.where(x <= 0, alpha * np.expm1(x), x)


@operation("Celu", rule=same)
def celu(x: Array, *, alpha: float = 1.0) -> Any:
    return np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha))


@operation("ThresholdedRelu", rule=same)
def thresholded_relu(x: Array, *, alpha: float = 1.0) -> Any:
    return np.where(x > alpha, x, x.dtype.type(0))


@operation("Sigmoid", rule=same)
def sigmoid(x: Array) -> Any:
    return 1 / (1 + np.exp(-x))


@operation("HardSigmoid", rule=same)
def hard_sigmoid(x: Array, *, alpha: float = 0.2, beta: float = 0.5) -> Any:
    return np.clip(x * alpha + beta, 0, 1)


@operation("HardSwish", rule=same)
def hard_swish(x: Array) -> Any:
    return x * np.clip(x / 6 + 0.5, 0, 1)


@operation("Softplus", rule=same)
def softplus(x: Array) -> Any:
    return np.logaddexp(x, x.dtype.type(0))


@operation("Softsign", rule=same)
def softsign(x: Array) -> Any:
    return x / (1 + np.abs(x))


@operation("Gelu", "com.microsoft.Gelu", rule=same)
def gelu(x: Array, *, approximate: Literal["none", "tanh"] = "none") -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + error_function(x * math.sqrt(0.5)))


@operation("Mish", rule=same)
def mish(x: Array) -> Any:
    return x * np.tanh(softplus(x))


@operation("Swish", rule=same)
def swish(x: Array, *, alpha: float = 1.0) -> Any:
    return x * sigmoid(alpha * x)


@operation("com.microsoft.QuickGelu", rule=same)
def quick_gelu(x: Array, *, alpha: float = 1.702) -> Any:
    return x * sigmoid(alpha * x)


@operation("Shrink", rule=same)
def shrink(x: Array, *, bias: float = 0.0, lambd: float = 0.5) -> Any:
    """Of any dtype of numbers, which the result has, too."""
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0)).astype(x.dtype)


@operation("Softmax", rule=same)
def softmax(x: Array, *, axis: int = -1, flat: int = 0) -> Any:
    """Along an axis; with `flat` along all axes from that one on together, as before operator set 13."""
    rows = _rows(x, axis) if flat else x
    if not rows.size:
        return x
    along = 1 if flat else axis
    powers = np.exp(rows - rows.max(axis=along, keepdims=True))
    return (powers / powers.sum(axis=along, keepdims=True)).reshape(x.shape)


@operation("LogSoftmax", rule=same)
def log_softmax(x: Array, *, axis: int = -1, flat: int = 0) -> Any:
    rows = _rows(x, axis) if flat else x
    if not rows.size:
        return x
    along = 1 if flat else axis
    moved = rows - rows.max(axis=along, keepdims=True)
    return (moved - np.log(np.exp(moved).sum(axis=along, keepdims=True))).reshape(x.shape)


@operation("Hardmax", rule=same)
def hardmax(x: Array, *, axis: int = -1, flat: int = 0) -> Any:
    rows = _rows(x, axis) if flat else x
    along = 1 if flat else axis
    result = np.zeros_like(rows)
    np.put_along_axis(result, rows.argmax(axis=along, keepdims=True), 1, axis=along)
    return result.reshape(x.shape)


def _rows(x: Array, axis: int) -> Array:
    axis = axis % max(x.ndim, 1)
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@upgrade("Softmax", "LogSoftmax", "Hardmax", to=13)
def one_axis(reading: Reading) -> None:
    axis, x = reading.attributes.setdefault("axis", 1), reading.inputs[0]
    rank = None if x is None or x.shape is None else len(x.shape)
    if rank is None or axis not in (-1, rank - 1):  # along the last one all the same
        reading.attributes["flat"] = 1


@operation("com.microsoft.BiasGelu", rule=broadcast)
def bias_gelu(x: Array, bias: Array) -> Any:
    return gelu(x + bias)


@upgrade("PRelu", to=7)
def slope_is_broadcast(reading: Reading) -> None:
    """Operator set 6 has a slope for each channel, whatever comes after the channels."""
    x, slope = reading.inputs
    if slope is None or not slope.is_constant or x is None or x.shape is None:
        reading.refuse("a slope that is not a constant, or an input of unknown shape")
        return
    if slope.constant.size > 1:
        reading.give(1, slope.constant.reshape((-1,) + (1,) * (len(x.shape) - 2)))
