"""Elementwise nodes, and fused regions of them, as chains of instructions in C. Fills the table of `lowering.py`.

A region that has no room in one step becomes several, which hand whole arrays on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.program.instructions import EMITTERS, MOST_INSTRUCTIONS, TRUTH, Chain, Full, Missing
from fastconv.graph.program.lowering import DTYPES, MOST_AXES, Builder, lowers, merged, sizes_of, strides_of

# Of any number of inputs, and what two of them are.
_OF_MANY = {"Max": "Max", "Mean": "Add", "Min": "Min", "Sum": "Add"}


@lowers("fastconv.Elementwise")
def region(b: Builder, node: Node) -> bool:
    body: Graph = node.attributes["body"]
    outside = dict(zip(map(id, body.inputs), node.inputs, strict=True))
    return _lower(b, node, body.nodes, body.outputs[0], outside)


@lowers(*EMITTERS, *_OF_MANY)
def single(b: Builder, node: Node) -> bool:
    result = node.outputs[0]
    return result is not None and _lower(b, node, [node], result, {})


def _lower(
    b: Builder, node: Node, nodes: Sequence[Node], result: Value, outside: dict[int, Value | None]
) -> bool:
    out = node.outputs[0]
    assert out is not None
    dtype = _dtype_of(nodes)
    if dtype is None or out.dtype not in (dtype, TRUTH):
        return False
    try:
        chains = _Cut([inner for one in nodes for inner in _of_two(one)], dtype).chains(result)
    except Missing:
        return False
    shape, places = sizes_of(out), dict[int, int]()
    operands = [[outside.get(id(value)) or value for value in chain.operands] for chain, _, _ in chains]
    steps = []
    made = {id(target) for _, target, _ in chains}
    for (chain, target, words), values in zip(chains, operands, strict=True):
        walks = []
        for value in values:
            own = shape if id(value) in made else sizes_of(value)
            if not _fits(own, shape):
                return False
            walks.append(_broadcast(own, shape))
        sizes, strides = merged(shape, [strides_of(shape), *walks], 1)
        if len(sizes) > MOST_AXES:
            return False
        steps.append((chain, target, words, values, sizes, strides))
    for chain, target, words, values, sizes, strides in steps:
        last = target is result
        truths = sum(
            1 << k for k, value in enumerate(values) if value.dtype == TRUTH and id(value) not in places
        )
        gives_truth = last and out.dtype == TRUTH
        place = b.place(out) if last else b.scratch(shape, dtype)
        what = DTYPES[dtype], sizes, strides[1:], strides[0], chain.code, truths, gives_truth
        reads = [places[id(value)] if id(value) in places else b.place(value) for value in values]
        flops = len(chain.code) * math.prod(shape)
        b.add("elementwise", what, reads, place, algorithm=words, flops=flops, as_list=True)
        places[id(target)] = place
    return True


def _dtype_of(nodes: Sequence[Node]) -> np.dtype[Any] | None:
    """The one of all numbers, beside which there may be truth values; None where it is none that C has."""
    values = [value for node in nodes for value in (*_typed(node), *node.outputs) if value is not None]
    dtypes = {value.dtype for value in values} - {TRUTH}
    if not dtypes:
        return np.dtype(np.float32)
    return dtypes.pop() if len(dtypes) == 1 and dtypes <= set(DTYPES) else None


def _typed(node: Node) -> list[Value | None]:
    """The inputs; without an exponent that is one number, which may be of another dtype."""
    exponent = node.inputs[1] if node.operation == "Pow" else None
    if exponent is None or not exponent.is_constant or exponent.constant.size != 1:
        return node.inputs
    return node.inputs[:1]


def _of_two(node: Node) -> Iterator[Node]:
    """A node of many inputs as several of two."""
    values, output = node.inputs, node.outputs[0]
    if node.operation not in _OF_MANY or output is None or not values or (
        len(values) == 2 and node.operation != "Mean"
    ):  # fmt: skip
        yield node
        return
    total = values[0]
    for place, value in enumerate(values[1:], 2):
        is_last = place == len(values) and node.operation != "Mean"
        new = output if is_last else Value("", output.dtype, output.shape)
        yield Node(_OF_MANY[node.operation], [total, value], [new])
        total = new
    if node.operation == "Mean":
        count = Value.of("", np.array(len(values), output.dtype))
        yield Node("Div", [total, count], [output])
    elif len(values) == 1:
        yield Node("Max", [total, total], [output])


class _Cut:
    """Cuts nodes into chains that have room in a step each."""

    def __init__(self, nodes: Sequence[Node], dtype: np.dtype[Any]) -> None:
        self._nodes, self._dtype = nodes, dtype
        self._makers = {id(node.outputs[0]): node for node in nodes}
        self._made: set[int] = set()  # by chains that are done
        self._done: list[tuple[Chain, Value, str]] = []

    def chains(self, result: Value) -> list[tuple[Chain, Value, str]]:
        """In the order in which they run: with the value that each makes, and its operations."""
        if id(result) not in self._makers:
            raise Missing
        for node in self._nodes:
            self._make_room(node)
        self._finish(result)
        return self._done

    def _make_room(self, node: Node) -> None:
        """Let chains be done before until the one that makes this node's result has room."""
        output = node.outputs[0]
        if output is None:
            raise Missing
        within = [value for value in node.inputs if value is not None and id(value) in self._makers]
        within.sort(key=lambda value: -len(self._behind(value)))
        for value in within:
            try:
                self._chain(output)
                return
            except Full:
                if id(value) not in self._made:
                    self._finish(value)
        try:
            self._chain(output)
        except Full as error:
            raise Missing from error

    def _finish(self, value: Value) -> None:
        chain, words = self._chain(value)
        self._done.append((chain, value, words))
        self._made.add(id(value))

    def _behind(self, value: Value) -> list[Node]:
        """The nodes that a chain with this result takes."""
        found, waiting = set[int](), [value]
        while waiting:
            node = self._makers.get(id(waiting.pop()))
            if node is None or id(node) in found:
                continue
            found.add(id(node))
            waiting += [v for v in node.inputs if v is not None and id(v) not in self._made]
        return [node for node in self._nodes if id(node) in found]

    def _chain(self, result: Value) -> tuple[Chain, str]:
        nodes = self._behind(result)
        if len(nodes) > MOST_INSTRUCTIONS:
            raise Full
        chain, readers = Chain(self._dtype), {id(result): 1}
        for node in nodes:
            for value in node.inputs:
                if value is not None:
                    readers[id(value)] = readers.get(id(value), 0) + 1
        for node in nodes:
            chain.emit(node, readers[id(node.outputs[0])])
        return chain, " ".join(node.operation for node in nodes)


def _fits(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Is it broadcast to that?"""
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def _broadcast(shape: tuple[int, ...], to: tuple[int, ...]) -> list[int]:
    """Strides along the axes of `to`."""
    missing = len(to) - len(shape)
    own = [0 if size == 1 else stride for size, stride in zip(shape, strides_of(shape), strict=True)]
    return [0] * missing + own
