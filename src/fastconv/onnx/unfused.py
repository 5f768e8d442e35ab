"""Fused operations as the nodes of ONNX that say the same. Called where a graph is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.graph.graph import Graph, Node, Value


def unfused(node: Node) -> list[Node] | None:
    """None for a node that is none of the fused ones.

    Parameters
    ----------
    node : Node

    Returns
    -------
    list of Node or None
    """
    write = _WRITERS.get(node.operation)
    return None if write is None else write(node)


def _layer(node: Node) -> list[Node]:
    """Conv and ConvTranspose."""
    fused = "activation", "activation_params", "affine"
    attributes = {key: value for key, value in node.attributes.items() if key not in fused}
    name = node.operation.removeprefix("fastconv.")
    chain = _Chain(node, Node(name, node.inputs[:3], [], attributes, name=node.name))
    if len(node.inputs) > 3:
        chain.then("Add", node.inputs[3])
    return chain.activated()


def _dense(node: Node) -> list[Node]:
    x, weight, *bias = node.inputs
    turned = Value("weight turned")
    chain = _Chain(node, Node("MatMul", [x, turned], [], name=node.name))
    if bias and bias[0] is not None:
        chain.then("Add", bias[0])
    return [Node("Transpose", [weight], [turned], {"perm": (1, 0)}), *chain.activated()]


class _Chain:
    """Nodes of which each reads the one before, and the last makes what the fused one made."""

    def __init__(self, fused: Node, first: Node) -> None:
        self._fused, self._nodes = fused, [first]

    def then(self, operation: str, *more: Value | None, **attributes: Any) -> Value:
        """Gives what the new node reads."""
        between = Value(f"{operation} input", self._dtype)
        self._nodes[-1].outputs.append(between)
        self._nodes.append(Node(operation, [between, *more], [], attributes))
        return between

    @property
    def _dtype(self) -> Any:
        output = self._fused.outputs[0]
        known = (value.dtype for value in (output, *self._fused.inputs) if value is not None)
        return next((dtype for dtype in known if dtype is not None), np.dtype(np.float32))

    def activated(self) -> list[Node]:
        word, parameters = self._fused.attributes.get("activation"), self._parameters()
        if word == "silu":
            x = self.then("Sigmoid")
            self.then("Mul", x)
        elif word in ("clip", "relu6"):
            self.then("Clip", *(Value.of("bound", np.array(bound, self._dtype)) for bound in parameters))
        elif word == "leaky_relu":
            self._leaky(parameters[0])
        elif word == "prelu":
            self.then("PRelu", self._slopes(parameters))
        elif word:
            self.then(_NAMES[word])
        for operation, number in zip(
            ("Mul", "Add"), self._fused.attributes.get("affine") or (), strict=False
        ):
            self.then(operation, Value.of("number", np.array(number, self._dtype)))
        self._nodes[-1].outputs.extend(self._fused.outputs)
        return self._nodes

    def _leaky(self, slope: float) -> None:
        """Attributes are of float32, which not every slope of float64 is."""
        if self._dtype == np.float64 and slope != float(np.float32(slope)):
            self.then("PRelu", Value.of("slope", np.array([slope])))
        else:
            self.then("LeakyRelu", alpha=slope)

    def _slopes(self, slopes: tuple[float, ...]) -> Value:
        """Channels are the last axis of a dense layer, else what comes after them are as many axes as a kernel has."""
        weight = self._fused.inputs[1]
        if weight is None or weight.shape is None:
            raise ValueError(f"save: the axes of the weights of {self._fused} are not known")
        return Value.of("slopes", np.array(slopes, self._dtype).reshape(-1, *(1 for _ in weight.shape[2:])))

    def _parameters(self) -> tuple[float, ...]:
        defaults = {"relu6": (0.0, 6.0), "leaky_relu": (0.01,)}
        given = self._fused.attributes.get("activation_params")
        return tuple(given or defaults.get(self._fused.attributes.get("activation", ""), ()))


_NAMES = {"gelu": "Gelu", "hardswish": "HardSwish", "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}


def _shuffle(node: Node) -> list[Node]:
    """Channels in groups, the pixels of an image in a row."""
    x, groups = node.inputs[0], node.attributes["groups"]
    assert x is not None
    channels = None if x.shape is None else x.shape[1]
    if not isinstance(channels, int):
        raise ValueError(f"save: the number of channels of {x.name!r}, which are shuffled, is not known")
    shape, parts, turned = (Value(f"{x.name} {word}") for word in ("shape", "parts", "turned"))
    sizes = Value.of("sizes", np.array([0, groups, channels // groups, -1], np.int64))
    return [
        Node("Shape", [x], [shape]),
        Node("Reshape", [x, sizes], [parts]),
        Node("Transpose", [parts], [turned], {"perm": (0, 2, 1, 3)}),
        Node("Reshape", [turned, shape], node.outputs, name=node.name),
    ]


def _elementwise(node: Node) -> list[Node]:
    """The nodes of its body, which read and make what the node does."""
    body: Graph = node.attributes["body"]
    known: dict[Value, Value | None] = dict(zip(body.inputs, node.inputs, strict=True))
    known[body.outputs[0]] = node.outputs[0]
    return [
        Node(
            inner.operation,
            [None if value is None else known.get(value, value) for value in inner.inputs],
            [None if value is None else known.get(value, value) for value in inner.outputs],
            inner.attributes,
            name=inner.name,
        )
        for inner in body.nodes
    ]


_WRITERS: dict[str, Callable[[Node], list[Node]]] = {
    "fastconv.ChannelShuffle": _shuffle,
    "fastconv.Conv": _layer,
    "fastconv.ConvTranspose": _layer,
    "fastconv.Dense": _dense,
    "fastconv.Elementwise": _elementwise,
}
