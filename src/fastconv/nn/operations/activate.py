"""Activations by themselves, of arrays of any rank.

Compiled backends have them in the epilogue of a convolution only: as that of a depthwise one by a single 1, which costs
no more than the memory it moves, they are 2 to 10 times as fast as NumPy's functions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv.backends import get_backend
from fastconv.backends.numpy.activations import apply
from fastconv.caches import kept
from fastconv.grad import activation as activation_gradient
from fastconv.grad.elementwise import determined_by_output
from fastconv.nn.operation import Operation, Pullback
from fastconv.nn.symbols import Drawing, Symbol
from fastconv.nn.traced import method
from fastconv.ops.conv import depthwise_conv2d
from fastconv.problem.options import activation as read
from fastconv.typing import Array


@kept(64)
def _ones(count: int, dtype: np.dtype[Any]) -> Array:
    return np.ones((count, 1, 1, 1), dtype)


def activated(x: Array, activation: Any) -> Array:
    """The activation of an array."""
    known = read("activation", activation)
    if known is None:
        return x
    if get_backend() == "numpy" or x.dtype.kind != "f" or not x.size or x.ndim < 2:
        return apply(known, x if x.dtype.kind == "f" else x.astype(np.float32))
    planes = math.prod(x.shape[:2])
    image = x.reshape(1, planes, 1, math.prod(x.shape[2:]))
    return depthwise_conv2d(image, _ones(planes, x.dtype), activation=activation).reshape(x.shape)


def by_output(activation: Any) -> bool:
    """Whether the output determines the slope, so that the input need not be kept."""
    known = read("activation", activation)
    return known is None or determined_by_output(known)


def _record(needs: tuple[bool, ...], x: Array, *, activation: Any) -> tuple[Array, Pullback]:
    y = activated(x, activation)
    if by_output(activation):
        return y, lambda gradient: (activation_gradient(gradient, y, activation),)
    return y, lambda gradient: (activation_gradient(gradient, None, activation, preactivation=x),)


# The nodes of ONNX by the library's words.
_NODES = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "hardswish": "HardSwish", "gelu": "Gelu"}


def drawn(drawing: Drawing, x: Symbol, activation: Any) -> Symbol:
    """The nodes of an activation."""
    known = read("activation", activation)
    if known is None:
        return x
    if known.name == "clip":
        bounds = [drawing.constant(limit, x.dtype) for limit in (known.a, known.b)]
        return drawing.node("Clip", [x, *bounds])
    if known.name == "leaky_relu":
        return drawing.node("LeakyRelu", [x], alpha=float(known.a))
    if known.name == "silu":
        return drawing.node("Mul", [x, drawing.node("Sigmoid", [x])])
    return drawing.node(_NODES[known.name], [x])


def _emit(drawing: Drawing, x: Symbol, *, activation: Any) -> Symbol:
    return drawn(drawing, x, activation)


def _run(x: Array, *, activation: Any) -> Array:
    return activated(x, activation)


ACTIVATION = method("activation")(Operation("activation", _run, _record, _emit))
