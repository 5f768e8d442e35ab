"""Elementwise nodes, and fused regions of them, as chains of instructions in C. Fills the table of `lowering.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import fastconv.backends.cython._engine as _engine
from fastconv.backends.cython import ACTIVATIONS
from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.program.lowering import (
    MOST_AXES,
    Builder,
    attributes_of,
    dtype_of,
    lowers,
    merged,
    sizes_of,
    strides_in,
    strides_of,
)

_OPERATIONS = _engine.elementwise_operations()
_MOST_OPERANDS, _MOST_TEMPORARIES, _MOST_INSTRUCTIONS = _engine.elementwise_room()
_INFINITE = math.inf


class _Full(Exception):
    """A chain needs more operands, temporaries or instructions than there are, or an operation that C has not."""


class _Chain:
    """Instructions in the making. A register is an operand's number, or that of a temporary."""

    def __init__(self) -> None:
        self.code: list[tuple[int, int, int, int, int, float, float]] = []
        self.operands: list[Value] = []
        self._registers: dict[int, int] = {}
        self._readers: dict[int, int] = {}
        self._free = [_MOST_OPERANDS + i for i in range(_MOST_TEMPORARIES)]

    def operand(self, value: Value) -> int:
        if id(value) not in self._registers:
            if len(self.operands) == _MOST_OPERANDS:
                raise _Full
            self._registers[id(value)] = len(self.operands)
            self.operands.append(value)
        return self._registers[id(value)]

    def number(self, number: float, dtype: Any) -> int:
        return self.operand(Value.of("", np.array(number, dtype)))

    def define(self, value: Value, register: int, readers: int) -> None:
        self._registers[id(value)] = register
        self._readers[register] = self._readers.get(register, 0) + readers

    def read(self, value: Value) -> int:
        register = self._registers.get(id(value))
        return self.operand(value) if register is None else register

    def done_with(self, register: int) -> None:
        """One reader fewer; a temporary that nobody reads any more is free."""
        if register >= _MOST_OPERANDS:
            self._readers[register] -= 1
            if not self._readers[register]:
                self.free(register)

    def free(self, register: int) -> None:
        self._free.append(register)

    def add(
        self, name: str, a: int, b: int | None = None, *, which: int = 0, p: float = 0.0, q: float = 0.0
    ) -> int:
        """One instruction, into a temporary of its own."""
        if not self._free or len(self.code) == _MOST_INSTRUCTIONS:
            raise _Full
        to = self._free.pop()
        self.code.append((_OPERATIONS[name], to, a, a if b is None else b, which, p, q))
        return to


def _binary(name: str) -> Callable[[_Chain, Node, list[int]], int]:
    def emit(chain: _Chain, node: Node, registers: list[int]) -> int:
        result = registers[0]
        for place, register in enumerate(registers[1:]):
            before = result
            result = chain.add(name, before, register)
            if place:  # what there is so far is nobody else's
                chain.free(before)
        return result

    return emit


def _activation(name: str, *parameters: str) -> Callable[[_Chain, Node, list[int]], int]:
    def emit(chain: _Chain, node: Node, registers: list[int]) -> int:
        p, q = _numbers(node, parameters)
        return chain.add("activate", registers[0], which=ACTIVATIONS[name], p=p, q=q)

    return emit


def _function(name: str, *parameters: str) -> Callable[[_Chain, Node, list[int]], int]:
    def emit(chain: _Chain, node: Node, registers: list[int]) -> int:
        p, q = _numbers(node, parameters)
        return chain.add(name, registers[0], p=p, q=q)

    return emit


def _numbers(node: Node, parameters: tuple[str, ...]) -> list[float]:
    """An instruction's two: attributes by their names, and 1 in place of missing ones."""
    attributes = attributes_of(node)
    return [*(attributes[name] for name in parameters), 1.0, 1.0][:2]


def _negative(chain: _Chain, node: Node, registers: list[int]) -> int:
    return chain.add("affine", registers[0], p=-1.0, q=-0.0)


def _reciprocal(chain: _Chain, node: Node, registers: list[int]) -> int:
    first = node.inputs[0]
    assert first is not None
    return chain.add("div", chain.number(1.0, first.dtype), registers[0])


def _swish(chain: _Chain, node: Node, registers: list[int]) -> int:
    if attributes_of(node)["alpha"] != 1:
        raise _Full
    return chain.add("activate", registers[0], which=ACTIVATIONS["silu"])


def _gelu(chain: _Chain, node: Node, registers: list[int]) -> int:
    if attributes_of(node)["approximate"] != "none":
        raise _Full
    return chain.add("activate", registers[0], which=ACTIVATIONS["gelu"])


def _clip(chain: _Chain, node: Node, registers: list[int]) -> int:
    bounds = []
    for value, missing in zip([*node.inputs[1:], None, None], (-_INFINITE, _INFINITE), strict=False):
        if value is not None and (not value.is_constant or value.constant.size != 1):
            raise _Full
        bounds.append(missing if value is None else float(value.constant.item()))
    if bounds[0] > bounds[1] or any(math.isnan(bound) for bound in bounds):
        raise _Full
    return chain.add("activate", registers[0], which=ACTIVATIONS["clip"], p=bounds[0], q=bounds[1])


def _power(chain: _Chain, node: Node, registers: list[int]) -> int:
    exponent = node.inputs[1]
    assert exponent is not None
    number = float(exponent.constant.item()) if exponent.is_constant and exponent.constant.size == 1 else None
    if number == 2:
        return chain.add("mul", registers[0], registers[0])
    if number == 0.5:
        return chain.add("sqrt", registers[0])
    raise _Full


# How an operation becomes instructions: of the chain, the node, and the registers of its inputs (without the
# parameters of _CONSTANT ones).
_EMITTERS: dict[str, Callable[[_Chain, Node, list[int]], int]] = {
    "Abs": _function("abs"),
    "Add": _binary("add"),
    "Ceil": _function("ceil"),
    "Clip": _clip,
    "Div": _binary("div"),
    "Elu": _function("elu", "alpha"),
    "Exp": _function("exp"),
    "Floor": _function("floor"),
    "Gelu": _gelu,
    "HardSigmoid": _function("hard_sigmoid", "alpha", "beta"),
    "HardSwish": _activation("hardswish"),
    "LeakyRelu": _activation("leaky_relu", "alpha"),
    "Max": _binary("most"),
    "Min": _binary("least"),
    "Mish": _function("mish"),
    "Mul": _binary("mul"),
    "Neg": _negative,
    "PRelu": _binary("prelu"),
    "Pow": _power,
    "Reciprocal": _reciprocal,
    "Relu": _activation("relu"),
    "Round": _function("round"),
    "Selu": _function("elu", "alpha", "gamma"),
    "Sigmoid": _activation("sigmoid"),
    "Sqrt": _function("sqrt"),
    "Sub": _binary("sub"),
    "Sum": _binary("add"),
    "Swish": _swish,
    "Tanh": _activation("tanh"),
}
# Their inputs but the first are numbers that the instruction holds.
_CONSTANT = frozenset({"Clip", "Pow"})


def _emit(chain: _Chain, node: Node, readers: int) -> None:
    emit, output = _EMITTERS.get(node.operation), node.outputs[0]
    if emit is None or output is None or any(value is None for value in node.inputs[:1]):
        raise _Full
    if node.operation in ("Max", "Min", "Sum") and len(node.inputs) == 1:
        raise _Full
    values = [value for value in node.inputs if value is not None]
    if node.operation in _CONSTANT:
        values = values[:1]
    registers = [chain.read(value) for value in values]
    result = emit(chain, node, registers)
    chain.define(output, result, readers)
    for register in registers:
        chain.done_with(register)


def _chain_of(nodes: list[Node], result: Value) -> _Chain:
    chain = _Chain()
    readers: dict[int, int] = {id(result): 1}
    for node in nodes:
        for value in node.inputs[: 1 if node.operation in _CONSTANT else None]:
            if value is not None:
                readers[id(value)] = readers.get(id(value), 0) + 1
    for node in nodes:
        output = node.outputs[0]
        _emit(chain, node, readers.get(id(output), 0))
    return chain


@lowers("fastconv.Elementwise")
def region(b: Builder, node: Node) -> bool:
    body: Graph = node.attributes["body"]
    result, nodes = body.outputs[0], body.nodes
    outside = dict(zip(map(id, body.inputs), node.inputs, strict=True))
    return _lower(b, node, nodes, result, outside)


@lowers(*_EMITTERS)
def single(b: Builder, node: Node) -> bool:
    result = node.outputs[0]
    return result is not None and _lower(b, node, [node], result, {})


def _lower(
    b: Builder, node: Node, nodes: list[Node], result: Value, outside: dict[int, Value | None]
) -> bool:
    out, dtype = node.outputs[0], dtype_of(node)
    assert out is not None
    if dtype is None:
        return False
    try:
        chain = _chain_of(nodes, result)
    except _Full:
        return False
    if not chain.code or chain.code[-1][1] != chain.read(result):  # the last instruction makes what is stored
        return False
    operands = [outside.get(id(value)) or value for value in chain.operands]
    shape = sizes_of(out)
    if any(value.dtype != out.dtype for value in operands):
        return False
    if np.broadcast_shapes(*map(sizes_of, operands)) != shape:
        return False
    layout = b.layout(out)
    walks = [strides_in(layout, shape)]
    for value in operands:
        own = sizes_of(value)
        # Constants are as the file has them; what has another shape than the result lies alike in both layouts.
        walks.append(_broadcast(own, shape) if value.is_constant or own != shape else walks[0])
    order = [0, 2, 3, 1] if layout == "NHWC" else list(range(len(shape)))
    sizes, strides = merged([shape[i] for i in order], [[walk[i] for i in order] for walk in walks], 1)
    if len(sizes) > MOST_AXES:
        return False
    what = dtype, sizes, strides[1:], strides[0], chain.code
    words = " ".join(inner.operation for inner in nodes)
    flops = len(chain.code) * math.prod(shape)
    places = [b.place(value, "NCHW" if value.is_constant else layout) for value in operands]
    b.add("elementwise", what, places, b.place(out, layout), algorithm=words, flops=flops, as_list=True)
    return True


def _broadcast(shape: tuple[int, ...], to: tuple[int, ...]) -> list[int]:
    """Strides along the axes of `to`."""
    missing = len(to) - len(shape)
    own = [0 if size == 1 else stride for size, stride in zip(shape, strides_of(shape), strict=True)]
    return [0] * missing + own
