"""A graph as a file's messages: every value has a name of its own, constants are initializers. Called by `save`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fastconv.graph.elements import NUMBERS
from fastconv.graph.graph import Graph, Node, Size, Value
from fastconv.graph.operations import TABLE
from fastconv.graph.operations.table import TYPES
from fastconv.onnx.unfused import unfused
from fastconv.onnx.wire import Record
from fastconv.typing import Array

OPSET = 22
# Operators, attributes and types that came later than that: the file's version follows them.
_LATER_OPERATORS = {"RMSNormalization": 23, "Swish": 24, "TensorScatter": 24, "BitCast": 26, "CumProd": 26}
_LATER_ATTRIBUTES = {
    ("QuantizeLinear", "precision"): 23,
    ("Cast", "round_mode"): 24,
    ("CastLike", "round_mode"): 24,
    ("SpaceToDepth", "mode"): 28,
}
_LATER_TYPES = {23: 23, 24: 24, 25: 25, 26: 25, 27: 28, 28: 28}
_IR_VERSIONS = {22: 10, 23: 11, 24: 12, 25: 13, 26: 13, 28: 14}
_STRING = 8
# AttributeProto.type and the field of its value, by what an operation's attribute is, alone and in a tuple.
_ATTRIBUTES: dict[Any, tuple[tuple[int, str], tuple[int, str]]] = {
    TYPES["float"]: ((1, "f"), (6, "floats")),
    TYPES["int"]: ((2, "i"), (7, "ints")),
    TYPES["str"]: ((3, "s"), (8, "strings")),
    TYPES["Array"]: ((4, "t"), (9, "tensors")),
    TYPES["Body"]: ((5, "g"), (10, "graphs")),
}


class Exporter:
    """Writes one graph, with those in its nodes."""

    def __init__(self, graph: Graph) -> None:
        self._names: dict[Value, str] = {}
        self._taken: set[str] = {""}
        self._taken_by_nodes: set[str] = set()
        self._initializers: list[Record] = []
        self._domains: dict[str, int] = {}
        self._version = OPSET
        for value in (*graph.inputs, *graph.outputs):  # whose names users know
            if value not in self._names:
                self._name(value)
            if value.dtype is None:
                raise ValueError(f"save: the dtype of {value.name!r}, an input or output, is not known")
        record = self._graph(graph, 0)
        record["initializer"] = self._initializers
        opsets = [{"domain": domain, "version": version} for domain, version in self._domains.items()]
        self.model: Record = {
            "ir_version": _IR_VERSIONS[self._version],
            "producer_name": "fastconv",
            "graph": record,
            "opset_import": [{"version": self._version}, *opsets],
        }

    def _needs(self, version: int) -> None:
        self._version = max(self._version, version)

    def _name(self, value: Value) -> str:
        """The value's name, made unique where several have it; a constant is written when it is first named."""
        name = self._names.get(value)
        if name is not None:
            return name
        name = _unique(value.name, self._taken)
        self._names[value] = name
        if value.is_constant:
            if value.element:
                raise ValueError(f"save: the constant {value.name!r} has a type that NumPy lacks")
            self._initializers.append({"name": name, **tensor(value.constant)})
        return name

    def _graph(self, graph: Graph, captured: int) -> Record:
        """Its last inputs are names of the graph around it, which is how ONNX reads these."""
        own = graph.inputs[: len(graph.inputs) - captured]
        return {
            "name": graph.name or "graph",
            "input": [self._info(value) for value in own],
            "node": [self._node(written) for node in graph.nodes for written in newest(node)],
            "output": [self._info(value) for value in graph.outputs],
        }

    def _body(self, graph: Graph, captured: int) -> Record:
        """A graph in a node: what it gives, nodes of its own have to make."""
        made = {id(value) for node in graph.nodes for value in node.outputs}
        nodes, outputs = list(graph.nodes), list[Value]()
        for value in graph.outputs:
            if id(value) not in made:
                copied = Value(value.name, value.dtype, value.shape, None, value.element)
                nodes.append(Node("Identity", [value], [copied]))
                value = copied
            made.discard(id(value))  # nor twice
            outputs.append(value)
        return self._graph(Graph(graph.inputs, outputs, nodes, graph.name), captured)

    def _info(self, value: Value) -> Record:
        kind: Record = {}
        if value.dtype is not None:
            kind["elem_type"] = value.element or _number(value.dtype)
            self._needs(_LATER_TYPES.get(value.element, OPSET))
        if value.shape is not None:
            kind["shape"] = {"dim": [_dimension(size) for size in value.shape]}
        info: Record = {"name": self._name(value)}
        return info | ({"type": {"tensor_type": kind}} if kind else {})

    def _node(self, node: Node) -> Record:
        domain, _, name = node.operation.rpartition(".")
        if domain:
            self._domains[domain] = 1
        self._needs(_LATER_OPERATORS.get(node.operation, OPSET))
        for graph, values in node.captures.items():
            inner = node.attributes[graph].inputs
            for outside, within in zip(values, inner[len(inner) - len(values) :], strict=True):
                self._names[within] = self._name(outside)
        return {
            "input": ["" if value is None else self._name(value) for value in node.inputs],
            "output": ["" if value is None else self._name(value) for value in node.outputs],
            "name": node.name and _unique(node.name, self._taken_by_nodes),
            "op_type": name,
            "domain": domain,
            "attribute": [self._attribute(node, key) for key in node.attributes],
        }

    def _attribute(self, node: Node, name: str) -> Record:
        value, kind = node.attributes[name], TABLE[node.operation].kinds[name]
        self._needs(_LATER_ATTRIBUTES.get((node.operation, name), OPSET))
        if value == "ceil_where_smaller":
            raise ValueError(
                "save: newer operator sets cannot say how a Resize of set 10 rounds along all axes"
            )
        if name in ("to", "output_dtype"):
            self._needs(_LATER_TYPES.get(value, OPSET))
        number, field = _ATTRIBUTES[kind.types][kind.several]
        if field == "g":
            value = self._body(value, len(node.captures[name]))
        elif field == "t":
            value = tensor(value)
        elif field == "s":
            value = value.encode()
        elif field == "strings":
            value = [part.encode() for part in value]
        return {"name": name, "type": number, field: value}


def _unique(wanted: str, taken: set[str]) -> str:
    """`wanted`, with a number behind it where it is taken; it is taken from now on."""
    name, count = wanted, 0
    while name in taken:
        count += 1
        name = f"{wanted or 'value'}_{count}"
    taken.add(name)
    return name


def newest(node: Node) -> list[Node]:
    """The nodes that say the same in a file: fused ones, and softmax along several axes together, are several."""
    parts = unfused(node)
    if parts is not None:
        return [written for part in parts for written in newest(part)]
    if not node.attributes.get("flat"):
        return [node]
    x, axis = node.inputs[0], node.attributes["axis"]
    assert x is not None
    shape, rows, made = (Value(f"{x.name} {word}") for word in ("shape", "rows", node.operation))
    return [
        Node("Shape", [x], [shape]),
        Node("Flatten", [x], [rows], {"axis": axis}),
        Node(node.operation, [rows], [made], {"axis": 1}),
        Node("Reshape", [made, shape], node.outputs, {"allowzero": 1}, name=node.name),
    ]


def tensor(array: Array) -> Record:
    """A TensorProto without a name."""
    record: Record = {"dims": array.shape, "data_type": _number(array.dtype)}
    if array.dtype.kind == "O":
        return record | {"string_data": [str(text).encode() for text in array.ravel()]}
    raw = np.ascontiguousarray(array)
    if sys.byteorder == "big":
        raw = raw.byteswap()
    return record | {"raw_data": raw.tobytes()}


def _number(dtype: np.dtype[Any]) -> int:
    return _STRING if dtype.kind == "O" else NUMBERS[dtype]


def _dimension(size: Size) -> Record:
    if size is None:
        return {}
    return {"dim_param": size} if isinstance(size, str) else {"dim_value": size}
