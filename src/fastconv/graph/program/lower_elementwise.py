"""Elementwise nodes, and fused regions of them, as chains of instructions in C. Fills the table of `lowering.py`.

A region that has no room in one step becomes several, which hand whole arrays on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.program.instructions import EMITTERS, MOST_INSTRUCTIONS, TRUTH, Chain, Full, Missing
from fastconv.graph.program.lowering import (
    MOST_AXES,
    Before,
    Builder,
    lowers,
    merged,
    order_in,
    strides_in,
)
from fastconv.graph.program.operands import DTYPES, sizes_of
from fastconv.typing import Array, Layout

# Of any number of inputs, and what two of them are.
_OF_MANY = {"Max": "Max", "Mean": "Add", "Min": "Min", "Sum": "Add"}


@lowers("fastconv.Elementwise")
def region(b: Builder, node: Node) -> bool:
    body: Graph = node.attributes["body"]
    out = node.outputs[0]
    if out is None:
        return False
    layout, shape = b.layout(out), sizes_of(out)

    def make() -> bool:
        known = {
            id(inner): _operand(b, value, inner, layout, shape)
            for inner, value in zip(body.inputs, node.inputs, strict=True)
            if value is not None
        }
        return compute(b, body.nodes, body.outputs[0], b.place(out, layout), known, layout=layout)

    before = _rescaled(node, out, make)
    return (before is not None and b.put_off(out, before)) or make()


@lowers(*EMITTERS, *_OF_MANY)
def single(b: Builder, node: Node) -> bool:
    out = node.outputs[0]
    if out is None:
        return False
    layout = b.layout(out)

    def make() -> bool:
        return compute(b, [node], out, b.place(out, layout), {}, layout=layout)

    before = _gated(node, out, make)
    return (before is not None and b.put_off(out, before)) or make()


def _rescaled(node: Node, out: Value, make: Callable[[], bool]) -> Before | None:
    """Batch normalisation and ReLU: channels with a constant factor and addend each."""
    body: Graph = node.attributes["body"]
    if [inner.operation for inner in body.nodes] != ["Mul", "Add", "Relu"]:
        return None
    if out.dtype not in DTYPES or len(sizes_of(out)) != 4:
        return None
    product, total, _ = body.nodes
    outside = {id(inner): value for inner, value in zip(body.inputs, node.inputs, strict=True)}
    others, rows = list[Value | None](), list[Array]()
    for first, second in (product.inputs, total.inputs):
        for inner, other in ((first, second), (second, first)):
            row = _row_of_channels(outside.get(id(inner), inner), out)
            if row is not None:
                others.append(outside.get(id(other), other))
                rows.append(row)
    if len(rows) != 2 or others[1] is not product.outputs[0]:
        return None
    image = others[0]
    if image is None or image.shape != out.shape:
        return None
    return Before(node, image, make, rescale=(rows[0], rows[1]))


def _row_of_channels(value: Value | None, images: Value) -> Array | None:
    """A constant with a number for each channel of images."""
    if value is None or not value.is_constant or value.dtype != images.dtype:
        return None
    shape = sizes_of(value)
    if (1,) * (4 - len(shape)) + shape != (1, sizes_of(images)[1], 1, 1):
        return None
    row: Array = np.require(value.constant.reshape(-1), requirements=["C", "A"])
    return row


def _gated(node: Node, out: Value, make: Callable[[], bool]) -> Before | None:
    """The product of images with a number for each image and channel, as in squeeze-and-excite."""
    if node.operation != "Mul" or out.dtype not in DTYPES or len(sizes_of(out)) != 4:
        return None
    for image, gate in (node.inputs, node.inputs[::-1]):
        assert image is not None
        assert gate is not None
        if image.is_constant or gate.is_constant or image.shape != out.shape:
            continue
        if sizes_of(gate) == (*sizes_of(out)[:2], 1, 1):
            return Before(node, image, make, gate=gate)
    return None


class Operand(NamedTuple):
    """Where an array lies, and how: strides are in elements."""

    place: int
    shape: tuple[int, ...]
    strides: Sequence[int]
    is_truth: bool = False

    def walk(self, to: tuple[int, ...]) -> list[int] | None:
        """Strides along the axes of `to`; None where it is not broadcast to that."""
        if len(self.shape) > len(to):
            if set(self.shape[: -len(to) or len(self.shape)]) > {1}:
                return None
            return Operand(self.place, self.shape[len(self.shape) - len(to) :], self.strides).walk(to)
        missing = len(to) - len(self.shape)
        if any(size not in (1, wanted) for size, wanted in zip(self.shape, to[missing:], strict=True)):
            return None
        own = [0 if size == 1 else stride for size, stride in zip(self.shape, self.strides, strict=True)]
        return [0] * missing + own


def _operand(b: Builder, value: Value, like: Value, layout: Layout, whole: tuple[int, ...]) -> Operand:
    """Constants are as the file has them; what has another shape than the result lies alike in both layouts."""
    shape = sizes_of(value)
    own = "NCHW" if value.is_constant or shape != whole else layout
    return Operand(b.place(value, own), shape, strides_in(own, shape), like.dtype == TRUTH)


def compute(
    b: Builder,
    nodes: Sequence[Node],
    result: Value,
    target: int,
    known: Mapping[int, Operand],
    shape: tuple[int, ...] | None = None,
    layout: Layout = "NCHW",
) -> bool:
    """Let a place get a value that elementwise nodes make; False, and no step, where C cannot do that.

    Parameters
    ----------
    known : dict of int to Operand
        Values that are somewhere else than where they would be, by `id`.
    shape : tuple of int, optional
        Of the place as the nodes see it.
    layout : {"NCHW", "NHWC"}
        That of the place, and of arrays of its shape.
    """
    dtype = _dtype_of(nodes)
    if dtype is None or b.places.values[target].dtype not in (dtype, TRUTH):
        return False
    try:
        chains = _Cut([inner for one in nodes for inner in _of_two(one)], dtype).chains(result)
    except Missing:
        return False
    shape = sizes_of(b.places.values[target]) if shape is None else shape
    order = order_in(layout, len(shape))
    own, operands, steps = strides_in(layout, shape), dict(known), list[tuple[Any, ...]]()
    for chain, value, words in chains:
        here = [
            operands.get(id(operand)) or _operand(b, operand, operand, layout, shape)
            for operand in chain.operands
        ]
        walks = [operand.walk(shape) for operand in here]
        if any(walk is None for walk in walks):
            return False
        all_walks = [own, *(walk for walk in walks if walk is not None)]
        sizes, strides = merged(
            [shape[axis] for axis in order], [[walk[axis] for axis in order] for walk in all_walks], 1
        )
        if len(sizes) > MOST_AXES:
            return False
        place = target if value is result else b.scratch(shape, dtype)
        # Between chains truth values are what they are in tiles.
        operands[id(value)] = Operand(place, shape, own)
        truths = sum(operand.is_truth << k for k, operand in enumerate(here))
        gives_truth = b.places.values[place].dtype == TRUTH
        what = DTYPES[dtype], sizes, strides[1:], strides[0], chain.code, truths, gives_truth
        steps.append((what, [operand.place for operand in here], place, words))
    for what, reads, place, words in steps:
        flops = len(what[4]) * math.prod(shape)
        b.add("elementwise", what, reads, place, algorithm=words, flops=flops, as_list=True)
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
        self._order = {id(node): place for place, node in enumerate(nodes)}
        self._makers = {id(node.outputs[0]): node for node in nodes}
        self._made: set[int] = set()  # by chains that are done
        self._done: list[tuple[Chain, Value, str]] = []

    def chains(self, result: Value) -> list[tuple[Chain, Value, str]]:
        """In the order in which they run: with the value that each makes, and its operations."""
        if id(result) not in self._makers:
            raise Missing
        try:
            self._finish(result)  # most have room in one
        except Full:
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
            if node is None or self._order[id(node)] in found:
                continue
            found.add(self._order[id(node)])
            waiting += [v for v in node.inputs if v is not None and id(v) not in self._made]
        return [self._nodes[place] for place in sorted(found)]

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
