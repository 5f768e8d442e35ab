"""Elementwise arithmetic and functions of numbers."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from fastconv.graph.operations.rules import broadcast, same
from fastconv.graph.operations.table import Reading, operation, upgrade
from fastconv.typing import Array

_erf = np.frompyfunc(math.erf, 1, 1)


@operation("Add", rule=broadcast)
def add(a: Array, b: Array) -> Any:
    return a + b


@operation("Sub", rule=broadcast)
def subtract(a: Array, b: Array) -> Any:
    return a - b


@operation("Mul", rule=broadcast)
def multiply(a: Array, b: Array) -> Any:
    return a * b


@operation("Div", rule=broadcast)
def divide(a: Array, b: Array) -> Any:
    """Of integers: towards zero, as C's."""
    if a.dtype.kind not in "iu":
        return a / b
    quotient = a // b
    if a.dtype.kind == "i":
        quotient += ((quotient < 0) & (quotient * b != a)).astype(a.dtype)
    return quotient


@operation("Pow", rule=broadcast)
def power(a: Array, b: Array) -> Any:
    """Of the dtype of the base."""
    if a.dtype.kind in "iu" and (b.dtype.kind == "f" or np.any(b < 0)):
        return np.power(a.astype(np.float64), b).astype(a.dtype)
    return np.power(a, b).astype(a.dtype)


@operation("Mod", rule=broadcast)
def modulo(a: Array, b: Array, *, fmod: int = 0) -> Any:
    """With the sign of the divisor, or with `fmod` of the dividend."""
    return np.fmod(a, b) if fmod else np.mod(a, b)


@operation("Max", rule=broadcast)
def maximum(*values: Array) -> Any:
    return functools.reduce(np.maximum, values)


@operation("Min", rule=broadcast)
def minimum(*values: Array) -> Any:
    return functools.reduce(np.minimum, values)


@operation("Sum", rule=broadcast)
def total(*values: Array) -> Any:
    return functools.reduce(np.add, values)


@operation("Mean", rule=broadcast)
def mean(*values: Array) -> Any:
    return functools.reduce(np.add, values) / np.asarray(len(values), values[0].dtype)


@operation("Clip", rule=same)
def clip(x: Array, low: Array | None = None, high: Array | None = None) -> Any:
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


@operation("Neg", rule=same)
def negative(x: Array) -> Any:
    return -x


@operation("Abs", rule=same)
def absolute(x: Array) -> Any:
    return np.abs(x)


@operation("Sign", rule=same)
def sign(x: Array) -> Any:
    return np.sign(x)


@operation("Reciprocal", rule=same)
def reciprocal(x: Array) -> Any:
    return 1 / x


@operation("Sqrt", rule=same)
def square_root(x: Array) -> Any:
    return np.sqrt(x)


@operation("Exp", rule=same)
def exponential(x: Array) -> Any:
    return np.exp(x)


@operation("Log", rule=same)
def logarithm(x: Array) -> Any:
    return np.log(x)


@operation("Erf", rule=same)
def error_function(x: Array) -> Any:
    return np.asarray(_erf(x)).astype(x.dtype)


@operation("Ceil", rule=same)
def ceiling(x: Array) -> Any:
    return np.ceil(x)


@operation("Floor", rule=same)
def floor(x: Array) -> Any:
    return np.floor(x)


@operation("Round", rule=same)
def round_half_to_even(x: Array) -> Any:
    return np.rint(x)


@operation("Sin", rule=same)
def sine(x: Array) -> Any:
    return np.sin(x)


@operation("Cos", rule=same)
def cosine(x: Array) -> Any:
    return np.cos(x)


@operation("Tan", rule=same)
def tangent(x: Array) -> Any:
    return np.tan(x)


@operation("Asin", rule=same)
def arcsine(x: Array) -> Any:
    return np.arcsin(x)


@operation("Acos", rule=same)
def arccosine(x: Array) -> Any:
    return np.arccos(x)


@operation("Atan", rule=same)
def arctangent(x: Array) -> Any:
    return np.arctan(x)


@operation("Sinh", rule=same)
def hyperbolic_sine(x: Array) -> Any:
    return np.sinh(x)


@operation("Cosh", rule=same)
def hyperbolic_cosine(x: Array) -> Any:
    return np.cosh(x)


@operation("Tanh", rule=same)
def hyperbolic_tangent(x: Array) -> Any:
    return np.tanh(x)


@operation("Asinh", rule=same)
def area_sine(x: Array) -> Any:
    return np.arcsinh(x)


@operation("Acosh", rule=same)
def area_cosine(x: Array) -> Any:
    return np.arccosh(x)


@operation("Atanh", rule=same)
def area_tangent(x: Array) -> Any:
    return np.arctanh(x)


@upgrade("Add", "Sub", "Mul", "Div", "Pow", to=7)
def broadcasting_is_general(reading: Reading) -> None:
    """Operator set 6 aligns the second input with the axes of the first from `axis` on, where `broadcast` says so."""
    axis = reading.attributes.pop("axis", None)
    wanted = reading.attributes.pop("broadcast", 0)
    if wanted and axis is not None:
        first, second = reading.inputs
        if first is None or second is None or first.shape is None or second.shape is None:
            reading.refuse("broadcast along an axis of inputs whose shapes are not known")
            return
        missing = len(first.shape) - int(axis) - len(second.shape)
        if missing and second.is_constant:
            reading.give(1, second.constant.reshape(second.constant.shape + (1,) * missing))
        elif missing:
            reading.refuse("broadcast along an axis that is not the last")


@upgrade("Clip", to=11)
def bounds_are_inputs(reading: Reading) -> None:
    first = reading.inputs[0]
    dtype = np.float32 if first is None or first.dtype is None else first.dtype
    reading.to_input("min", 1, dtype)
    reading.to_input("max", 2, dtype)
