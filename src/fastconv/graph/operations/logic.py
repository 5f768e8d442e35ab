"""Comparisons, logic, bits, and choice by a condition."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fastconv.graph.operations.rules import broadcast, broadcast_shape, comparison, same
from fastconv.graph.operations.table import Type, operation
from fastconv.typing import Array


@operation("Equal", rule=comparison)
def equal(a: Array, b: Array) -> Any:
    return a == b


@operation("Greater", rule=comparison)
def greater(a: Array, b: Array) -> Any:
    return a > b


@operation("GreaterOrEqual", rule=comparison)
def greater_or_equal(a: Array, b: Array) -> Any:
    return a >= b


@operation("Less", rule=comparison)
def less(a: Array, b: Array) -> Any:
    return a < b


@operation("LessOrEqual", rule=comparison)
def less_or_equal(a: Array, b: Array) -> Any:
    return a <= b


@operation("And", rule=comparison)
def both(a: Array, b: Array) -> Any:
    return a & b


@operation("Or", rule=comparison)
def either(a: Array, b: Array) -> Any:
    return a | b


@operation("Xor", rule=comparison)
def one_of_both(a: Array, b: Array) -> Any:
    return a ^ b


@operation("Not", rule=same)
def negated(x: Array) -> Any:
    return ~x


@operation("BitwiseAnd", rule=broadcast)
def bitwise_and(a: Array, b: Array) -> Any:
    return a & b


@operation("BitwiseOr", rule=broadcast)
def bitwise_or(a: Array, b: Array) -> Any:
    return a | b


@operation("BitwiseXor", rule=broadcast)
def bitwise_xor(a: Array, b: Array) -> Any:
    return a ^ b


@operation("BitwiseNot", rule=same)
def bitwise_not(x: Array) -> Any:
    return ~x


@operation("BitShift", rule=broadcast)
def bit_shift(a: Array, b: Array, *, direction: Literal["LEFT", "RIGHT"]) -> Any:
    return a << b if direction == "LEFT" else a >> b


@operation("IsNaN", rule=comparison)
def is_nan(x: Array) -> Any:
    return np.isnan(x)


@operation("IsInf", rule=comparison)
def is_infinite(x: Array, *, detect_negative: int = 1, detect_positive: int = 1) -> Any:
    return (x == -np.inf) & bool(detect_negative) | (x == np.inf) & bool(detect_positive)


def _chosen(inputs: Any, attributes: dict[str, Any]) -> list[Type]:
    return [Type(inputs[1].dtype, broadcast_shape([value.shape for value in inputs]))]


@operation("Where", rule=_chosen)
def where(condition: Array, a: Array, b: Array) -> Any:
    return np.where(condition, a, b)
