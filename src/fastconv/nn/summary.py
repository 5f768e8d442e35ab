"""A network's layers as a table: what they give, hold, cost and see. Called by `Module.summary`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv.graph.costs import bytes_of, flops_of
from fastconv.graph.graph import Node, Value
from fastconv.nn.core import Core
from fastconv.nn.export import drawn, unbuilt_again
from fastconv.nn.operations.activate import by_output
from fastconv.nn.scope import setting
from fastconv.nn.state import parameters

_HEAD = ("layer", "kind", "output", "parameters", "FLOPs", "sees", "memory")
_POOLED = ("GlobalAveragePool", "GlobalMaxPool", "Gemm", "MatMul", "ReduceMean", "ReduceSum")
_WINDOWS = ("Conv", "MaxPool", "AveragePool", "LpPool", "DeformConv")


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes
    ----------
    path, kind : str
    output : tuple of int
        The shape of what it gives, in the network's layout.
    parameters, flops, memory : int
        Numbers that are trained; operations of its sums of products, 2 for a product and its sum; bytes of what it
        makes and a training keeps.
    receptive_field : (int, int) or None
        Rows and columns of the input that a pixel of its output sees; None for all.
    """

    path: str
    kind: str
    output: tuple[Any, ...]
    parameters: int
    flops: int
    receptive_field: tuple[int, int] | None
    memory: int


@dataclass(frozen=True)
class Summary:
    """A table to print, or to read.

    Attributes
    ----------
    rows : tuple of Row
    parameters, trainable, flops, memory : int
        Of the whole network.
    """

    name: str
    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    flops: int
    memory: int

    def __str__(self) -> str:
        lines = [_HEAD, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
        text = [
            "  ".join(
                cell.ljust(width) if place < 3 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        text.insert(1, "-" * max(map(len, text)))
        frozen = self.parameters - self.trainable
        kept = f" ({frozen:,} frozen)" if frozen else ""
        text.append(text[1])
        text.append(
            f"{self.name}: {self.parameters:,} parameters{kept}, {_short(self.flops)}FLOPs, "
            f"{_short(self.memory)}B of activations"
        )
        return "\n".join(text)


def _cells(row: Row) -> tuple[str, ...]:
    field = row.receptive_field
    sees = "all" if field is None else str(field[0]) if field[0] == field[1] else f"{field[0]}x{field[1]}"
    count = f"{row.parameters:,}" if row.parameters else ""
    flops = _short(row.flops) if row.flops else ""
    shape = f"({', '.join(map(str, row.output))})"
    return row.path, row.kind, shape, count, flops, sees, f"{_short(row.memory)}B"


def _short(number: int) -> str:
    """With a decimal prefix."""
    value = float(number)
    for prefix in ("", "k", "M", "G"):
        if value < 999.5:
            return f"{value:.0f} {prefix}" if not prefix or value >= 99.5 else f"{value:.1f} {prefix}"
        value /= 1000
    return f"{value:.1f} T"


def summarised(net: Core, input_shape: Any) -> Summary:
    """Draw the network, and sum up the nodes of each layer; what is not made yet stays so."""
    built: list[Any] = []
    with setting(initialiser="zeros", built=built):
        graph, drawing = drawn(net, "summary", input_shape)
    try:
        fields = _receptive_fields(graph.inputs, graph.nodes)
        leaves = {
            id(module): (path or "(whole)", module)
            for path, module in net.named_modules()
            if not any(True for _ in module.children())
        }
        groups: dict[int, list[Node]] = {}
        for node, place in zip(graph.nodes, drawing.places, strict=True):
            groups.setdefault(place[-1] if place else 0, []).append(node)
        paths = {id(module): (path or "(whole)", module) for path, module in net.named_modules()}
        rows = tuple(
            _row(*paths[key], nodes, fields, key in leaves) for key, nodes in groups.items() if key in paths
        )
        held, trained = (sum(a.size for a in parameters(net, t).values()) for t in (False, True))
        flops = sum(map(flops_of, graph.nodes))
        return Summary(type(net).__name__, rows, held, trained, flops, sum(row.memory for row in rows))
    finally:
        unbuilt_again(built)


def _row(path: str, module: Core, nodes: list[Node], fields: dict[int, Any], is_leaf: bool) -> Row:
    own = module.__dict__["_parameters"].values()
    count = sum(array.size for array in own if array is not None)
    last = nodes[-1].outputs[0]
    assert last is not None
    makes = [node for node in nodes if node.operation not in ("Transpose", "Reshape", "Flatten", "Identity")]
    if is_leaf and own and "activation" in module.__dict__:  # one operation, however many nodes it is
        memory = bytes_of(last) * (1 if by_output(module.activation) else 2)
    else:
        memory = sum(bytes_of(value) for node in makes for value in node.outputs)
    shape = last.shape or ()
    return Row(path, type(module).__name__, shape, count, sum(map(flops_of, nodes)), fields[id(last)], memory)


def _receptive_fields(inputs: Sequence[Value], nodes: Sequence[Node]) -> dict[int, Any]:
    """Rows and columns that an element of each value sees at most; None where that is the whole input."""
    one = (1.0, 1.0)
    seen: dict[int, Any] = {id(value): (one, one) for value in inputs}  # size, and step from one to the next
    for node in nodes:
        given = [seen[id(value)] for value in node.reads() if id(value) in seen]
        out = node.outputs[0]
        assert out is not None
        if node.operation in _POOLED or None in given or not given:
            seen[id(out)] = None
            continue
        size = tuple(max(part[0][axis] for part in given) for axis in (0, 1))
        step = given[0][1]
        if node.operation in (*_WINDOWS, "ConvTranspose", "Resize"):
            size, step = _widened(node, size, step)
        seen[id(out)] = size, step
    return {
        key: None if value is None else (int(np.ceil(value[0][0])), int(np.ceil(value[0][1])))
        for key, value in seen.items()
    }


def _widened(node: Node, size: Any, step: Any) -> Any:
    if node.operation == "Resize":
        x, y = node.inputs[0], node.outputs[0]
        assert x is not None
        assert y is not None
        before, after = (value.shape or () for value in (x, y))
        if not all(isinstance(length, int) for length in (*before[2:], *after[2:])):
            return size, step
        reach = {"nearest": 0, "linear": 1, "cubic": 3}[node.attributes["mode"]]
        grown = tuple(s + reach * j for s, j in zip(size, step, strict=True))
        return grown, tuple(j * b / a for j, b, a in zip(step, before[2:], after[2:], strict=True))
    kernel, strides, dilations = (
        _two(node.attributes.get(name) or (1,)) for name in ("kernel_shape", "strides", "dilations")
    )
    if node.operation == "ConvTranspose":
        grown = tuple(
            s + max(-(-k // t) - 1, 0) * j for s, k, t, j in zip(size, kernel, strides, step, strict=True)
        )
        return grown, tuple(j / t for j, t in zip(step, strides, strict=True))
    grown = tuple(s + d * (k - 1) * j for s, d, k, j in zip(size, dilations, kernel, step, strict=True))
    return grown, tuple(j * t for j, t in zip(step, strides, strict=True))


def _two(values: Sequence[int]) -> tuple[int, int]:
    """Of signals as of images of one row."""
    return (1, int(values[0])) if len(values) == 1 else (int(values[0]), int(values[1]))
