"""Recurrent layers as steps in C: at every time a product with the state, and what the gates make of it. Fills the
table of `lowering.py`.

The products of all inputs are one dense layer before the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastconv.graph.graph import Node, Value
from fastconv.graph.program.lower_elementwise import Operand, compute
from fastconv.graph.program.lower_products import add_dense
from fastconv.graph.program.lowering import Builder, attributes_of, lowers, strides_of
from fastconv.graph.program.operands import DTYPES, given, sizes_of
from fastconv.typing import Array

_MOST_TIMES = 512  # of one layer; longer sequences run in Python
_USUAL = {"GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh"), "RNN": ("tanh",)}
_GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}


@lowers("GRU", "LSTM", "RNN")
def recurrent(b: Builder, node: Node) -> bool:
    x, name, a = node.inputs[0], node.operation, attributes_of(node)
    assert x is not None
    directions = {"forward": (1,), "reverse": (-1,), "bidirectional": (1, -1)}.get(a["direction"])
    if directions is None or x.dtype not in DTYPES or len(sizes_of(x)) != 3 or not _is_usual(node):
        return False
    assert x.dtype is not None
    (times, batch, inputs), hidden, count = sizes_of(x), a["hidden_size"], len(directions)
    width = _GATES[name] * hidden
    shapes = {1: (count, width, inputs), 2: (count, width, hidden), 3: (count, 2 * width)}
    shapes |= dict.fromkeys((5, 6) if name == "LSTM" else (5,), (count, batch, hidden))
    for place, shape in shapes.items():
        value = given(node, place)
        if value is not None and (value.dtype != x.dtype or sizes_of(value) != shape):
            return False
        if value is not None and place < 4 and not value.is_constant:
            return False
    if not times * batch * inputs * hidden or times * count > _MOST_TIMES:
        return False
    outputs = [-1 if value is None else b.place(value) for value in (*node.outputs, None, None)]
    for number, direction in enumerate(directions):
        layer = _Layer(b, node, number, batch, hidden, x.dtype)
        states = [layer.first_state(place) for place in shapes if place > 3]
        run = _RUNS[name](layer, b.place(x), times * batch)
        for t in range(times)[::direction]:
            target = layer.new() if outputs[0] < 0 else layer.part(outputs[0], t * count + number)
            states = run(t, states, target)
        for state, output in zip(states, outputs[1:], strict=False):
            if output >= 0:
                line = [1, batch * hidden], [0, 1], [0, 1]
                b.add("copy", (x.dtype.itemsize, *line), [state], layer.part(output, number))
    return True


def _is_usual(node: Node) -> bool:
    """Without sequences of several lengths, peepholes, other activations, bounds, or another order of axes."""
    a, usual = attributes_of(node), _USUAL[node.operation]
    names = tuple(map(str.lower, a["activations"] or ()))
    if names != usual * (len(names) // len(usual)):
        return False
    unusual = a["clip"] is not None or a["layout"] or a.get("input_forget")
    return not unusual and given(node, 4) is None and given(node, 7) is None


class _Layer(NamedTuple):
    """One direction of a layer."""

    b: Builder
    node: Node
    direction: int
    batch: int
    hidden: int
    dtype: np.dtype[Any]

    def _like(self, gates: int) -> Value:
        return Value("", self.dtype, (self.batch, gates * self.hidden))

    def new(self, gates: int = 1) -> int:
        return self.b.scratch((self.batch, gates * self.hidden), self.dtype)

    def part(self, place: int, number: int, gates: int = 1) -> int:
        """The part of that number of a place that holds many of (batch, gates * hidden)."""
        like = self._like(gates)
        return self.b.part(place, number * self.batch * gates * self.hidden * self.dtype.itemsize, like)

    def first_state(self, place: int) -> int:
        value = given(self.node, place)
        if value is not None:
            return self.part(self.b.place(value), self.direction)
        return self.b.place(Value.of("", np.zeros((self.batch, self.hidden), self.dtype)))

    def rows(self, place: int, first: int, last: int) -> Array:
        """Gates of this direction's weights; the same array for every program of a network."""
        value = given(self.node, place)
        assert value is not None
        begin, end, d = first * self.hidden, last * self.hidden, self.direction
        return self.b.derived(
            value.constant, (d, begin, end), lambda c: np.ascontiguousarray(c[d, begin:end])
        )

    def bias(self, *parts: tuple[int, int]) -> Array | None:
        """The sum of some of the biases, by gates."""
        value, n, d = given(self.node, 3), self.hidden, self.direction
        if value is None:
            return None

        def total(constant: Array) -> Any:
            return np.asarray(sum(constant[d, first * n : last * n] for first, last in parts), self.dtype)

        return self.b.derived(value.constant, (d, parts), total)

    def product(self, state: int, weight: Array, bias: Array | None, out: int, **options: Any) -> None:
        add_dense(self.b, state, self.batch, weight, bias, out, **options)

    def given(self, x: int, rows: int, first: int, last: int, *biases: tuple[int, int]) -> int:
        """What the inputs of all times give to some of the gates, with biases."""
        place = self.b.scratch((rows, (last - first) * self.hidden), self.dtype)
        add_dense(self.b, x, rows, self.rows(1, first, last), self.bias(*biases), place)
        return place


class _Formula:
    """Elementwise nodes in the making, of arrays of (batch, hidden)."""

    def __init__(self, layer: _Layer) -> None:
        self._layer, self._nodes = layer, list[Node]()
        self._known: dict[int, Operand] = {}

    def __call__(self, operation: str, *values: Value) -> Value:
        result = self._layer._like(1)
        self._nodes.append(Node(operation, list(values), [result]))
        return result

    def at(self, place: int, gate: int = 0, of: int = 1) -> Value:
        """A place's array, or one of its gates, of which there are so many side by side."""
        layer, value = self._layer, self._layer._like(1)
        part = layer.b.part(place, gate * layer.hidden * layer.dtype.itemsize, value) if gate else place
        shape = layer.batch, layer.hidden
        strides = (of * layer.hidden, 1) if of > 1 else strides_of(shape)
        self._known[id(value)] = Operand(part, shape, strides)
        return value

    def into(self, result: Value, target: int) -> None:
        done = compute(self._layer.b, self._nodes, result, target, self._known)
        assert done


# The steps of a time: of its number, the states, and where the first new state goes, they make the new states.
_Run = Callable[[int, list[int], int], list[int]]


def _plain(layer: _Layer, x: int, rows: int) -> _Run:
    whole, own = layer.given(x, rows, 0, 1, (0, 1), (1, 2)), layer.rows(2, 0, 1)

    def run(t: int, states: list[int], target: int) -> list[int]:
        residual = layer.part(whole, t)
        layer.product(states[0], own, None, target, residual=residual, function="tanh")
        return [target]

    return run


def _long_short(layer: _Layer, x: int, rows: int) -> _Run:
    """Gates are input, output, forget and cell."""
    whole, own = layer.given(x, rows, 0, 4, (0, 4), (4, 8)), layer.rows(2, 0, 4)

    def run(t: int, states: list[int], target: int) -> list[int]:
        gates, cell = layer.new(4), layer.new()
        layer.product(states[0], own, None, gates, residual=layer.part(whole, t, 4))
        f = _Formula(layer)
        kept = f("Mul", f("Sigmoid", f.at(gates, 2, 4)), f.at(states[1]))
        taken = f("Mul", f("Sigmoid", f.at(gates, 0, 4)), f("Tanh", f.at(gates, 3, 4)))
        f.into(f("Add", kept, taken), cell)
        f = _Formula(layer)
        f.into(f("Mul", f("Sigmoid", f.at(gates, 1, 4)), f("Tanh", f.at(cell))), target)
        return [target, cell]

    return run


def _gated(layer: _Layer, x: int, rows: int) -> _Run:
    """Gates are update, reset and hidden; the last one sees the state after or before it is multiplied by reset."""
    after = attributes_of(layer.node)["linear_before_reset"]
    both = layer.given(x, rows, 0, 2, (0, 2), (3, 5))
    last = layer.given(x, rows, 2, 3, (2, 3), *([] if after else [(5, 6)]))
    own, own_last = layer.rows(2, 0, 2), layer.rows(2, 2, 3)

    def run(t: int, states: list[int], target: int) -> list[int]:
        gates, seen = layer.new(2), layer.new()
        layer.product(states[0], own, None, gates, residual=layer.part(both, t, 2), function="sigmoid")
        f = _Formula(layer)
        if after:
            layer.product(states[0], own_last, layer.bias((5, 6)), seen)
            product = f("Mul", f.at(gates, 1, 2), f.at(seen))
        else:
            reset = layer.new()
            f.into(f("Mul", f.at(gates, 1, 2), f.at(states[0])), reset)
            layer.product(reset, own_last, None, seen)
            f = _Formula(layer)
            product = f.at(seen)
        new = f("Tanh", f("Add", product, f.at(layer.part(last, t))))
        # new + update (old - new)
        difference = f("Sub", f.at(states[0]), new)
        f.into(f("Add", new, f("Mul", f.at(gates, 0, 2), difference)), target)
        return [target]

    return run


_RUNS: dict[str, Callable[[_Layer, int, int], _Run]] = {"GRU": _gated, "LSTM": _long_short, "RNN": _plain}
