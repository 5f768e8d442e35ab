"""A network called on symbols is a graph: every operation adds nodes, in the form of ONNX. Used by `export.py`.

Graphs have channels first. In a network whose layout is NHWC, an operation on images is drawn between two transposes,
which passes cancel (`Drawing.images`, `Drawing.back`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastconv.graph import Graph, Node, Value, infer
from fastconv.nn.operation import Operation
from fastconv.nn.scope import SCOPE
from fastconv.nn.traced import Traced
from fastconv.problem.layout import channels_last
from fastconv.typing import Array


class Symbol(Traced):
    """A value of a graph that is being drawn."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    @property
    def shape(self) -> tuple[Any, ...]:
        assert self.value.shape is not None
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        assert self.value.dtype is not None
        return self.value.dtype

    def __repr__(self) -> str:
        return f"<Symbol {self.dtype} {self.shape}>"


class Drawing:
    """A graph that grows with every operation.

    Parameters
    ----------
    name_of : callable
        The path of a parameter or buffer.
    where : callable
        The path of the layer that is being called.
    """

    def __init__(self, name_of: Callable[[Array], str], where: Callable[[], str]) -> None:
        self.nodes: list[Node] = []
        self.places: list[tuple[int, ...]] = []  # for each node, the layers that it is in, by identity
        self._name_of, self._where = name_of, where
        self._constants: dict[int, tuple[Symbol, Array]] = {}  # the array is kept, so that its identity is

    def lift(self, array: Array) -> Any:
        known = self._constants.get(id(array))
        if known is None:
            known = self._constants[id(array)] = Symbol(Value.of(self._name_of(array), array)), array
        return known[0]

    def made(self, array: Array) -> None:
        """Its name is asked for when it is read."""

    def constant(self, value: Any, dtype: Any = np.int64, name: str = "constant") -> Symbol:
        return Symbol(Value.of(name, np.array(value, dtype)))

    def symbol(self, value: Any, like: Symbol) -> Symbol:
        """What an operation was given, arrays and numbers as constants."""
        if isinstance(value, Symbol):
            return value
        array = np.asarray(value)
        if array.ndim == 0 or array.dtype.kind in "iub":
            array = array.astype(like.dtype)
        return Symbol(Value.of("constant", array))

    def apply(self, operation: Operation, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if not any(isinstance(value, Symbol) and not value.value.is_constant for value in inputs):
            arrays = [value.value.constant if isinstance(value, Symbol) else value for value in inputs]
            before, SCOPE.tracer = SCOPE.tracer, None
            try:
                return Symbol(Value.of("folded", operation.run(*arrays, **options)))
            finally:
                SCOPE.tracer = before
        if operation.emit is None:
            raise ValueError(f"{operation.name} has no form as a graph")
        return operation.emit(self, *inputs, **options)

    def node(self, operation: str, inputs: Sequence[Any], **attributes: Any) -> Symbol:
        """Add a node with one output that is read; attributes that are None are not given."""
        where = self._where()
        output = Value(f"{where}.{operation.lower()}" if where else operation.lower())
        values = [None if value is None else value.value for value in inputs]
        while values and values[-1] is None:
            values.pop()
        given = {name: value for name, value in attributes.items() if value is not None}
        node = Node(operation, values, [output], given, name=where)
        infer(node)
        if output.dtype is None:
            output.dtype = values[0].dtype if values and values[0] is not None else None
        self.nodes.append(node)
        self.places.append(tuple(id(module) for module in SCOPE.modules))
        return Symbol(output)

    def images(self, x: Symbol, last: bool) -> Symbol:
        """Channels first, where they are `last`; signals and images alike."""
        if not last:
            return x
        rank = x.ndim
        return self.node("Transpose", [x], perm=(0, rank - 1, *range(1, rank - 1)))

    def back(self, y: Symbol, last: bool) -> Symbol:
        """The reverse of `images`."""
        if not last:
            return y
        return self.node("Transpose", [y], perm=(0, *range(2, y.ndim), 1))

    def graph(self, inputs: Mapping[str, Symbol], outputs: Mapping[str, Symbol], name: str) -> Graph:
        """The finished graph; outputs get names of their own."""
        given = {id(symbol.value) for symbol in inputs.values()}
        values: list[Value] = []
        for word, symbol in outputs.items():
            value = symbol.value
            if value.is_constant or id(value) in given or any(value is other for other in values):
                value = self.node("Identity", [symbol]).value
            value.name = word
            values.append(value)
        return Graph([symbol.value for symbol in inputs.values()], values, self.nodes, name)


def is_last(options: Mapping[str, Any]) -> bool:
    return channels_last(options["layout"])
