"""Arithmetic with broadcasting, elementwise functions, sums, and products of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.nn.operation import Operation, Pullback
from fastconv.nn.symbols import Drawing, Symbol
from fastconv.nn.traced import method
from fastconv.typing import Array


def summed_to(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of what was broadcast from a shape."""
    if gradient.shape == shape:
        return gradient
    more = gradient.ndim - len(shape)
    axes = tuple(range(more)) + tuple(
        more + axis for axis, size in enumerate(shape) if size == 1 and gradient.shape[more + axis] != 1
    )
    total: Array = gradient.sum(axis=axes)
    return total.reshape(shape)


def _both(name: str, node: str, run: Callable[[Any, Any], Any], slopes: Callable[..., Any]) -> Operation:
    """`slopes` gives, of a gradient and both arrays, two functions: the gradient of each, before it is summed."""

    def record(needs: tuple[bool, ...], a: Any, b: Any) -> tuple[Array, Pullback]:
        first, second = np.asarray(a), np.asarray(b)

        def back(gradient: Array) -> tuple[Any, ...]:
            parts = slopes(gradient, first, second)
            return tuple(
                summed_to(np.asarray(part()), value.shape) if wanted else None
                for wanted, part, value in zip(needs, parts, (first, second), strict=True)
            )

        return np.asarray(run(a, b)), back

    def emit(drawing: Drawing, a: Any, b: Any) -> Symbol:
        like = a if isinstance(a, Symbol) else b
        return drawing.node(node, [drawing.symbol(a, like), drawing.symbol(b, like)])

    return method(name)(Operation(name, run, record, emit))


ADD = _both("add", "Add", lambda a, b: a + b, lambda g, a, b: (lambda: g, lambda: g))
SUBTRACT = _both("subtract", "Sub", lambda a, b: a - b, lambda g, a, b: (lambda: g, lambda: -g))
MULTIPLY = _both("multiply", "Mul", lambda a, b: a * b, lambda g, a, b: (lambda: g * b, lambda: g * a))
DIVIDE = _both("divide", "Div", lambda a, b: a / b, lambda g, a, b: (lambda: g / b, lambda: -g * a / (b * b)))


def _record_power(needs: tuple[bool, ...], x: Array, *, exponent: float) -> tuple[Array, Pullback]:
    return x**exponent, lambda gradient: (gradient * (exponent * x ** (exponent - 1)),)


def _emit_power(drawing: Drawing, x: Symbol, *, exponent: float) -> Symbol:
    if exponent == 0.5:
        return drawing.node("Sqrt", [x])
    return drawing.node("Pow", [x, drawing.constant(exponent, x.dtype)])


POWER = method("power")(Operation("power", lambda x, *, exponent: x**exponent, _record_power, _emit_power))


def _function(
    name: str, node: str, run: Callable[[Any], Any], slope: Callable[[Array, Array, Array], Array]
) -> Operation:
    """`slope` gives the gradient, from that of the output, the input and the output."""

    def record(needs: tuple[bool, ...], x: Array) -> tuple[Array, Pullback]:
        y = np.asarray(run(x))
        return y, lambda gradient: (slope(gradient, x, y),)

    return Operation(name, run, record, lambda drawing, x: drawing.node(node, [x]))


EXP = _function("exp", "Exp", np.exp, lambda g, x, y: g * y)
LOG = _function("log", "Log", np.log, lambda g, x, y: g / x)
ABSOLUTE = _function("absolute", "Abs", np.abs, lambda g, x, y: g * np.sign(x))


def _softplus(x: Array) -> Array:
    result: Array = np.logaddexp(x, x.dtype.type(0))
    return result


SOFTPLUS = _function("softplus", "Softplus", _softplus, lambda g, x, y: g * -np.expm1(-y))


def _axes(axis: Any, rank: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(rank))
    return tuple(one % rank for one in (axis if isinstance(axis, (tuple, list)) else (axis,)))


def _reduction(name: str, node: str, mean: bool) -> Operation:
    def run(x: Array, *, axis: Any, keepdims: bool) -> Array:
        axes = _axes(axis, x.ndim)
        return np.asarray(
            x.mean(axis=axes, keepdims=keepdims) if mean else x.sum(axis=axes, keepdims=keepdims)
        )

    def record(needs: tuple[bool, ...], x: Array, *, axis: Any, keepdims: bool) -> tuple[Array, Pullback]:
        axes, shape = _axes(axis, x.ndim), x.shape
        count = int(np.prod([shape[one] for one in axes], dtype=np.int64))

        def back(gradient: Array) -> tuple[Any, ...]:
            wide = gradient if keepdims else np.expand_dims(gradient, axes)
            return (np.broadcast_to(wide / count if mean else wide, shape),)

        return run(x, axis=axis, keepdims=keepdims), back

    def emit(drawing: Drawing, x: Symbol, *, axis: Any, keepdims: bool) -> Symbol:
        return drawing.node(node, [x, drawing.constant(_axes(axis, x.ndim))], keepdims=int(keepdims))

    return method(name)(Operation(name, run, record, emit))


SUM = _reduction("sum", "ReduceSum", mean=False)
MEAN = _reduction("mean", "ReduceMean", mean=True)


def _record_max(needs: tuple[bool, ...], x: Array, *, axis: int, keepdims: bool) -> tuple[Array, Pullback]:
    """The first of several that are as large has the gradient."""
    place = np.expand_dims(x.argmax(axis=axis), axis)

    def back(gradient: Array) -> tuple[Any, ...]:
        wide = gradient if keepdims else np.expand_dims(gradient, axis)
        result = np.zeros(x.shape, gradient.dtype)
        np.put_along_axis(result, place, wide, axis)
        return (result,)

    return x.max(axis=axis, keepdims=keepdims), back


MAXIMUM = Operation(
    "maximum",
    lambda x, *, axis, keepdims: x.max(axis=axis, keepdims=keepdims),
    _record_max,
    lambda drawing, x, *, axis, keepdims: drawing.node(
        "ReduceMax", [x, drawing.constant([axis])], keepdims=int(keepdims)
    ),
)


def _record_matmul(needs: tuple[bool, ...], a: Array, b: Array) -> tuple[Array, Pullback]:
    def back(gradient: Array) -> tuple[Any, ...]:
        return (
            summed_to(gradient @ b.swapaxes(-1, -2), a.shape) if needs[0] else None,
            summed_to(a.swapaxes(-1, -2) @ gradient, b.shape) if needs[1] else None,
        )

    return a @ b, back


def _emit_matmul(drawing: Drawing, a: Any, b: Any) -> Symbol:
    like = a if isinstance(a, Symbol) else b
    return drawing.node("MatMul", [drawing.symbol(a, like), drawing.symbol(b, like)])


MATMUL = method("matmul")(Operation("matmul", lambda a, b: a @ b, _record_matmul, _emit_matmul))
