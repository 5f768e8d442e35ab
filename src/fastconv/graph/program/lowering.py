"""How nodes become steps in C: one function for each operation that can, in a table beside that of operations. The
files `lower_...` fill it; `compiled.py` calls.

A lowering adds the steps of a node whose types are known, and says whether it could. Where it cannot, the node runs in
Python.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import numpy as np

import fastconv.backends.cython._engine as _engine
from fastconv.backends.protocol import Work
from fastconv.execution.convolution import read_planned
from fastconv.graph.graph import Node, Value
from fastconv.graph.operations import TABLE
from fastconv.graph.program.memory import Kind, Places, has_room
from fastconv.ops.plan_base import Plan
from fastconv.problem.convolution import ConvOptions
from fastconv.typing import Array

# Those of a network, by what they are made of, with the arrays that they are made of; and arrays made of others.
Plans = dict[Any, tuple[Any, ...]]
MOST_AXES = _engine.MOST_AXES
DTYPES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1}


@dataclass
class Step:
    """A step in C, for people: what it is, and what it takes.

    Attributes
    ----------
    algorithm : str
    flops : int
        0 where moving data is all it does.
    cycles : float
        Predicted; 0 where nothing predicts them.
    """

    node: Node
    algorithm: str
    reads: tuple[int, ...]
    out: int
    flops: int = 0
    weight_bytes: int = 0
    cycles: float = 0.0


class Builder:
    """The steps so far, and the places of values."""

    def __init__(self, places: Places, plans: Plans) -> None:
        self.places = places
        self.plans = plans
        self.network = _engine.Network()
        self.steps: list[Step] = []
        self.constants: dict[int, Array] = {}
        self._node: Node | None = None

    def lower(self, node: Node) -> bool:
        """Add a node's steps; False where it has to run in Python."""
        lowering = LOWERINGS.get(node.operation)
        values = [value for value in (*node.reads(), *node.outputs) if value is not None]
        if lowering is None or not all(map(has_room, values)) or not _are_as_inferred(node):
            return False
        self._node = node
        try:
            return lowering(self, node)
        except Exception as error:
            error.add_note(f"in {node}")
            raise

    def plan(self, kind: type[Plan], options: ConvOptions, weight: Array, bias: Array | None) -> Plan:
        """That of other programs of the network, or a new one, which does not copy the weights."""
        key = kind, options, id(weight), id(bias)
        if key not in self.plans:
            kernel = weight.reshape(*weight.shape[:2], *((1, 1, *weight.shape[2:])[-2:]))
            plan = kind(options, *read_planned(options, kernel, bias, "cython", copies=False))
            # The arrays stay, so that no others get their numbers.
            self.plans[key] = plan, weight, bias
        return self.plans[key][0]  # type: ignore[no-any-return]

    def derived(self, constant: Array, what: Any, make: Callable[[Array], Array]) -> Array:
        """What is made of a constant, the same array for all programs of the network; `what` names it."""
        key = id(constant), what
        if key not in self.plans:
            self.plans[key] = make(constant), constant
        return self.plans[key][0]  # type: ignore[no-any-return]

    def place(self, value: Value) -> int:
        """Where a step reads or writes a value; constants are copied to where kernels can read them."""
        number = self.places.of(value)
        if value.is_constant and number not in self.constants:
            self.constants[number] = np.require(value.constant, requirements=["C", "A"])
        return number

    def part(self, whole: int, offset: int, like: Value) -> int:
        """What lies so many bytes from the start of a place."""
        return self.places.part(Value("", like.dtype, like.shape), whole, offset)

    def scratch(self, shape: tuple[int, ...], dtype: Any) -> int:
        """Memory between two steps of one node."""
        return self.places.add(Value("", np.dtype(dtype), shape), Kind.ARENA)

    def add(
        self,
        kind: str,
        what: Sequence[Any],
        reads: Sequence[int],
        out: int,
        *,
        algorithm: str = "",
        flops: int = 0,
        work: Work | None = None,
        as_list: bool = False,
    ) -> None:
        """One step of the network; `as_list` where it takes its operands so, `work` where a backend tells it."""
        operands = [list(reads)] if as_list else list(reads)
        getattr(self.network, kind)(*what, *operands, out)
        read = tuple(place for place in reads if place >= 0)
        assert self._node is not None
        work = work or Work(algorithm or kind, flops, 0)
        self.steps.append(
            Step(self._node, work.algorithm, read, out, work.flops, work.weight_bytes, work.cycles)
        )


def _are_as_inferred(node: Node) -> bool:
    """Have the outputs the types that follow from the inputs'? Kernels write by these, whatever a file says."""
    types = TABLE[node.operation].types(node.inputs, node.attributes)
    return bool(types) and all(
        value is None or (value.dtype, value.shape) == (known.dtype, known.shape)
        for value, known in zip(node.outputs, types, strict=False)
    )


Lowering = Callable[[Builder, Node], bool]
F = TypeVar("F", bound=Lowering)
LOWERINGS: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[F], F]:
    """Put a function into the table, under these operations' names."""

    def add(function: F) -> F:
        for name in names:
            LOWERINGS[name] = function
        return function

    return add


def sizes_of(value: Value) -> tuple[int, ...]:
    """A shape that is known in full."""
    assert value.shape is not None
    return tuple(size for size in value.shape if isinstance(size, int))


def given(node: Node, place: int) -> Value | None:
    """An input of a node, None where it is not there."""
    return node.inputs[place] if place < len(node.inputs) else None


def attributes_of(node: Node) -> dict[str, Any]:
    """Those of a node, with the defaults of the table for those that are not given."""
    return {**TABLE[node.operation].attributes, **node.attributes}


def dtype_of(node: Node) -> int | None:
    """The number of the float dtype that a node's first input and output have; None for any other."""
    x, y = node.inputs[0], node.outputs[0]
    if x is None or y is None or x.dtype != y.dtype or x.dtype is None:
        return None
    return DTYPES.get(x.dtype)


def strides_of(shape: Sequence[int]) -> list[int]:
    """Those of a contiguous array, in elements."""
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def merged(
    shape: Sequence[int], strides: Sequence[Sequence[int]], least: int = 1
) -> tuple[list[int], list[list[int]]]:
    """The fewest axes, at least so many, that walk the same elements in the same order, and the strides along them of
    each array; axes of one element go."""
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(walk[-1] == own[axis] * size for walk, own in zip(steps, strides, strict=True)):
            sizes[-1] *= size
            for walk, own in zip(steps, strides, strict=True):
                walk[-1] = own[axis]
        else:
            sizes.append(size)
            for walk, own in zip(steps, strides, strict=True):
                walk.append(own[axis])
    missing = least - len(sizes)
    # The last axis is walked in steps of one where it has one element.
    if not sizes and missing > 0:
        return [1] * missing, [[1] * missing for _ in strides]
    return [1] * missing + sizes, [[0] * missing + walk for walk in steps]


def axis_of(axis: int, rank: int) -> int | None:
    """An axis counted from the first one; None where there is none of that number."""
    return axis % rank if -rank <= axis < rank else None
