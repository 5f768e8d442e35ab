"""How elementwise operations become instructions of `csrc/network/elementwise.c`. Called by `lower_elementwise.py`.

A register is the number of an operand or of a temporary. Truth values are registers like others; `and` and `or` choose
numbers by them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import fastconv.backends.cython._engine as _engine
from fastconv.backends.cython import ACTIVATIONS
from fastconv.graph.elements import NUMBERS
from fastconv.graph.graph import Node, Value
from fastconv.graph.program.lowering import attributes_of
from fastconv.graph.program.operands import given

_OPERATIONS = _engine.elementwise_operations()
_MOST_OPERANDS, _MOST_TEMPORARIES, MOST_INSTRUCTIONS = _engine.elementwise_room()
_INFINITE = math.inf
TRUTH = np.dtype(np.bool_)


class Full(Exception):
    """A chain needs more operands, temporaries or instructions than there are."""


class Missing(Exception):
    """There are no instructions for an operation."""


class Chain:
    """Instructions in the making, of numbers of one dtype."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.code: list[tuple[int, int, int, int, int, float, float]] = []
        self.operands: list[Value] = []
        self._registers: dict[int, int] = {}
        self._numbers: dict[str, Value] = {}
        self._readers: dict[int, int] = {}
        self._free = [_MOST_OPERANDS + i for i in range(_MOST_TEMPORARIES)]

    def read(self, value: Value) -> int:
        """The register of a value: a temporary, or else an operand."""
        if id(value) not in self._registers:
            if len(self.operands) == _MOST_OPERANDS:
                raise Full
            self._registers[id(value)] = len(self.operands)
            self.operands.append(value)
        return self._registers[id(value)]

    def number(self, number: float) -> int:
        value = self._numbers.setdefault(float(number).hex(), Value.of("", np.array(number, self.dtype)))
        return self.read(value)

    def emit(self, node: Node, readers: int) -> None:
        """The instructions of a node, whose result has so many readers here."""
        output, dtypes = node.outputs[0], {value.dtype for value in node.inputs if value is not None}
        emitter = EMITTERS.get(node.operation)
        if emitter is None or output is None or not node.inputs or node.inputs[0] is None:
            raise Missing
        if TRUTH in dtypes and node.operation not in _OF_TRUTHS:
            raise Missing
        register = emitter(self, node)
        for value in node.inputs:
            if value is not None and not value.is_constant:
                self._done_with(value)
        self._registers[id(output)] = register
        self._readers[register] = readers

    def _done_with(self, value: Value) -> None:
        """One reader fewer; the temporary of a value that nobody reads any more is free."""
        register = self._registers[id(value)]
        if register >= _MOST_OPERANDS:
            self._readers[register] -= 1
            if not self._readers[register]:
                self._free.append(register)
                del self._registers[id(value)]

    def add(
        self, name: str, a: int, b: int | None = None, *, which: int = 0, p: float = 0.0, q: float = 0.0
    ) -> int:
        """One instruction, into a temporary of its own."""
        if not self._free or len(self.code) == MOST_INSTRUCTIONS:
            raise Full
        to = self._free.pop()
        self.code.append((_OPERATIONS[name], to, a, a if b is None else b, which, p, q))
        return to

    def then(self, name: str, a: int, *others: int, **given: Any) -> int:
        """One instruction more of what only this node knows: `a`, and `others` but the registers of values."""
        own = {a, *others} - set(self._registers.values())
        to = self.add(name, a, *others, **given)
        self._free += [register for register in own if register >= _MOST_OPERANDS]
        return to

    def activate(self, name: str, a: int, p: float = 0.0, q: float = 0.0) -> int:
        return self.then("activate", a, which=ACTIVATIONS[name], p=p, q=q)


Emitter = Callable[[Chain, Node], int]


def _value(node: Node, place: int = 0) -> Value:
    value = given(node, place)
    if value is None:
        raise Missing
    return value


def _first(chain: Chain, node: Node) -> int:
    return chain.read(_value(node))


def _number(value: Value | None) -> float | None:
    """That of a constant of one element."""
    if value is None or not value.is_constant or value.constant.size != 1 or value.dtype == TRUTH:
        return None
    return float(value.constant.item())


def _binary(name: str, swapped: bool = False) -> Emitter:
    def emit(chain: Chain, node: Node) -> int:
        a, b = chain.read(_value(node)), chain.read(_value(node, 1))
        return chain.add(name, b, a) if swapped else chain.add(name, a, b)

    return emit


def _with_number(name: str, affine: Callable[[float], tuple[float, float]]) -> Emitter:
    """A sum or a product; of a number it needs no operand."""

    def emit(chain: Chain, node: Node) -> int:
        for place in (0, 1):
            found = _number(_value(node, place))
            if found is not None and _number(_value(node, 1 - place)) is None:
                p, q = affine(found)
                return chain.add("affine", chain.read(_value(node, 1 - place)), p=p, q=q)
        return _binary(name)(chain, node)

    return emit


def _function(name: str, *parameters: str) -> Emitter:
    """One instruction, with 1 in place of missing parameters."""

    def emit(chain: Chain, node: Node) -> int:
        attributes = attributes_of(node)
        p, q = [*(attributes[name] for name in parameters), 1.0, 1.0][:2]
        return chain.add(name, _first(chain, node), p=p, q=q)

    return emit


def _activation(name: str, parameter: str | None = None) -> Emitter:
    def emit(chain: Chain, node: Node) -> int:
        p = 0.0 if parameter is None else attributes_of(node)[parameter]
        return chain.activate(name, _first(chain, node), p)

    return emit


def _negative(chain: Chain, node: Node) -> int:
    return chain.add("affine", _first(chain, node), p=-1.0, q=-0.0)


def _same(chain: Chain, node: Node) -> int:
    return chain.add("or", _first(chain, node))


def _reciprocal(chain: Chain, node: Node) -> int:
    return chain.add("div", chain.number(1.0), _first(chain, node))


def _swish(chain: Chain, node: Node) -> int:
    x, alpha = _first(chain, node), attributes_of(node)["alpha"]
    if alpha == 1:
        return chain.activate("silu", x)
    return chain.then("mul", chain.activate("sigmoid", chain.add("affine", x, p=alpha, q=-0.0)), x)


def _gelu(chain: Chain, node: Node) -> int:
    """By tanh it is x sigmoid(2 u), with u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    x = _first(chain, node)
    if attributes_of(node)["approximate"] == "none":
        return chain.activate("gelu", x)
    scale = 2 * math.sqrt(2 / math.pi)
    cubic = chain.then("affine", chain.add("mul", x, x), p=scale * 0.044715, q=scale)
    return chain.then("mul", chain.activate("sigmoid", chain.then("mul", cubic, x)), x)


def _bias_gelu(chain: Chain, node: Node) -> int:
    return chain.activate("gelu", _binary("add")(chain, node))


def _celu(chain: Chain, node: Node) -> int:
    alpha = attributes_of(node)["alpha"]
    scaled = chain.add("div", _first(chain, node), chain.number(alpha))
    return chain.then("elu", scaled, p=1.0, q=alpha)


def _softsign(chain: Chain, node: Node) -> int:
    x = _first(chain, node)
    return chain.then("div", x, chain.then("affine", chain.add("abs", x), p=1.0, q=1.0))


def _shrink(chain: Chain, node: Node) -> int:
    x, a = _first(chain, node), attributes_of(node)
    limit, bias = a["lambd"], a["bias"]
    low = chain.then("and", chain.add("less", x, chain.number(-limit)), chain.add("affine", x, p=1.0, q=bias))
    high = chain.then(
        "and", chain.add("less", chain.number(limit), x), chain.add("affine", x, p=1.0, q=-bias)
    )
    return chain.then("or", low, high)


def _thresholded(chain: Chain, node: Node) -> int:
    x = _first(chain, node)
    return chain.then("and", chain.add("less", chain.number(attributes_of(node)["alpha"]), x), x)


def _clip(chain: Chain, node: Node) -> int:
    x, bounds = _first(chain, node), [given(node, 1), given(node, 2)]
    low, high = (
        missing if value is None else _number(value)
        for value, missing in zip(bounds, (-_INFINITE, _INFINITE), strict=True)
    )
    if low is not None and high is not None and low <= high:
        return chain.activate("clip", x, low, high)
    for name, value in zip(("most", "least"), bounds, strict=True):
        x = x if value is None else chain.then(name, x, chain.read(value))
    return x


def _power(chain: Chain, node: Node) -> int:
    x, number = _first(chain, node), _number(_value(node, 1))
    if number == 1:
        return _same(chain, node)
    if number == -1:
        return _reciprocal(chain, node)
    if number == 0.5:
        return chain.add("sqrt", x)
    if number == 2:
        return chain.add("mul", x, x)
    if number == 3:
        return chain.then("mul", chain.add("mul", x, x), x)
    if number is None and _value(node, 1).dtype != chain.dtype:
        raise Missing
    return chain.add("pow", x, chain.read(_value(node, 1)) if number is None else chain.number(number))


def _modulo(chain: Chain, node: Node) -> int:
    return _binary("fmod" if attributes_of(node)["fmod"] else "mod")(chain, node)


def _equal(chain: Chain, node: Node) -> int:
    if _value(node).dtype == TRUTH:
        return chain.then("not", _binary("xor")(chain, node))
    return _binary("equal")(chain, node)


def _is_nan(chain: Chain, node: Node) -> int:
    return chain.then("not", chain.add("equal", _first(chain, node)))


def _is_infinite(chain: Chain, node: Node) -> int:
    x, a = _first(chain, node), attributes_of(node)
    if a["detect_negative"] and a["detect_positive"]:
        return chain.then("equal", chain.add("abs", x), chain.number(_INFINITE))
    if not a["detect_negative"] and not a["detect_positive"]:
        return chain.add("xor", x)
    return chain.add("equal", x, chain.number(-_INFINITE if a["detect_negative"] else _INFINITE))


def _where(chain: Chain, node: Node) -> int:
    condition, yes, no = (chain.read(_value(node, place)) for place in range(3))
    return chain.then("or", chain.add("and", condition, yes), chain.add("and_not", no, condition))


def _cast(chain: Chain, node: Node) -> int:
    """Between numbers and truth values."""
    x, from_truth, output = _first(chain, node), _value(node).dtype == TRUTH, node.outputs[0]
    if output is None or node.attributes["to"] not in (NUMBERS[chain.dtype], NUMBERS[TRUTH]):
        raise Missing  # such as bfloat16, which is held in float32
    if (output.dtype == TRUTH) == from_truth:
        return _same(chain, node)
    if from_truth:
        return chain.add("and", x, chain.number(1.0))
    return chain.then("not", chain.add("equal", x, chain.number(0.0)))


EMITTERS: dict[str, Emitter] = {
    "Abs": _function("abs"),
    "Acos": _function("acos"),
    "Acosh": _function("acosh"),
    "Add": _with_number("add", lambda number: (1.0, number)),
    "And": _binary("and"),
    "Asin": _function("asin"),
    "Asinh": _function("asinh"),
    "Atan": _function("atan"),
    "Atanh": _function("atanh"),
    "Cast": _cast,
    "Ceil": _function("ceil"),
    "Celu": _celu,
    "Clip": _clip,
    "Cos": _function("cos"),
    "Cosh": _function("cosh"),
    "Div": _binary("div"),
    "Elu": _function("elu", "alpha"),
    "Equal": _equal,
    "Erf": _function("erf"),
    "Exp": _function("exp"),
    "Floor": _function("floor"),
    "Gelu": _gelu,
    "Greater": _binary("less", swapped=True),
    "GreaterOrEqual": _binary("less_equal", swapped=True),
    "HardSigmoid": _function("hard_sigmoid", "alpha", "beta"),
    "HardSwish": _activation("hardswish"),
    "IsInf": _is_infinite,
    "IsNaN": _is_nan,
    "LeakyRelu": _activation("leaky_relu", "alpha"),
    "Less": _binary("less"),
    "LessOrEqual": _binary("less_equal"),
    "Log": _function("log"),
    "Max": _binary("most"),
    "Min": _binary("least"),
    "Mish": _function("mish"),
    "Mod": _modulo,
    "Mul": _with_number("mul", lambda number: (number, -0.0)),
    "Neg": _negative,
    "Not": _function("not"),
    "Or": _binary("or"),
    "PRelu": _binary("prelu"),
    "Pow": _power,
    "Reciprocal": _reciprocal,
    "Relu": _activation("relu"),
    "Round": _function("round"),
    "Selu": _function("elu", "alpha", "gamma"),
    "Shrink": _shrink,
    "Sigmoid": _activation("sigmoid"),
    "Sign": _function("sign"),
    "Sin": _function("sin"),
    "Sinh": _function("sinh"),
    "Softplus": _function("softplus"),
    "Softsign": _softsign,
    "Sqrt": _function("sqrt"),
    "Sub": _binary("sub"),
    "Sum": _with_number("add", lambda number: (1.0, number)),
    "Swish": _swish,
    "Tan": _function("tan"),
    "Tanh": _activation("tanh"),
    "ThresholdedRelu": _thresholded,
    "Where": _where,
    "Xor": _binary("xor"),
    "com.microsoft.BiasGelu": _bias_gelu,
    "com.microsoft.Gelu": _gelu,
    "com.microsoft.QuickGelu": _swish,
}
_OF_TRUTHS = frozenset({"And", "Cast", "Equal", "Not", "Or", "Where", "Xor"})
