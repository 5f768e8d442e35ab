"""Activations that are a value times a function of it between 0 and 1, its gate, in all orders of the product. Used by
the pass `patterns`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastconv.graph.graph import Node, Value
from fastconv.graph.passes.editor import Editor, told
from fastconv.graph.passes.matching import attribute, given, is_float, is_near, number, with_number

_DEEPEST = 4  # products within a product: an activation has fewer


@dataclass
class _Product:
    """What a tree of Mul and Div multiplies: a number and values; and the nodes of the tree but its root."""

    factor: float = 1.0
    values: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)


class _Gate(NamedTuple):
    """`times` the gate of `x`, the operation that x times the gate is, and the nodes that make it."""

    x: Value
    times: float
    operation: str
    attributes: dict[str, Any]
    nodes: list[Node]


def product(node: Node, editor: Editor) -> None:
    """Let a product be one node where it is an activation."""
    output = node.outputs[0]
    assert output is not None
    parts = _Product()
    if not is_float(output) or not _collect(node, editor, parts) or len(parts.values) > 2:
        return
    for place, value in enumerate(parts.values):
        rest = parts.values[:place] + parts.values[place + 1 :]
        gate = _gate(value, editor)
        if gate is None or not is_near(parts.factor * gate.times, 1, output.dtype):
            continue
        if rest and rest[0] is gate.x:
            operation, attributes = gate.operation, gate.attributes
        elif not rest and gate.operation == "HardSwish" and gate.nodes[-1].operation != "HardSigmoid":
            operation, attributes = "HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}
        else:
            continue
        old = [*parts.nodes, *gate.nodes]
        new = Node(operation, [gate.x], [output], attributes, name=node.name)
        editor.replace(node, new, line=f"{told(new)} from {len(old) + 1} nodes")
        editor.remove(*reversed(old))
        return


def _collect(node: Node, editor: Editor, into: _Product, depth: int = _DEEPEST) -> bool:
    """False for what is no product."""
    if node.operation == "Div":
        x, y = node.inputs
        divisor = None if x is None else number(y, x)
        if x is None or divisor is None or divisor == 0:
            return False
        into.factor /= divisor
        operands = [x]
    else:
        found = with_number(node)
        operands = [value for value in node.inputs if value is not None]
        if found is not None:
            operands, into.factor = [found[0]], into.factor * found[1]
    for value in operands:
        inner = editor.inner(value, "Mul", "Div") if depth else None
        own = _Product()
        if inner is not None and _collect(inner, editor, own, depth - 1):
            into.factor *= own.factor
            into.values += own.values
            into.nodes += [inner, *own.nodes]
        else:
            into.values.append(value)
    return True


def _gate(value: Value, editor: Editor) -> _Gate | None:
    node = editor.inner(value, *_GATES)
    return None if node is None else _GATES[node.operation](node, editor)


def _sigmoid(node: Node, editor: Editor) -> _Gate | None:
    """Of x, or of a number times x."""
    x = node.inputs[0]
    assert x is not None
    inner = editor.inner(x, "Mul")
    scaled = None if inner is None else with_number(inner)
    if inner is not None and scaled is not None:
        return _Gate(scaled[0], 1, "Swish", {"alpha": scaled[1]}, [node, inner])
    return _Gate(x, 1, "Swish", {}, [node])


def _hard_sigmoid(node: Node, editor: Editor) -> _Gate | None:
    x = node.inputs[0]
    assert x is not None
    third = is_near(attribute(node, "alpha"), 1 / 6, "f2" if x.dtype == "f2" else "f4")
    return _Gate(x, 1, "HardSwish", {}, [node]) if third and attribute(node, "beta") == 0.5 else None


def _clip(node: Node, editor: Editor) -> _Gate | None:
    """clip(x + 3, 0, 6), which is 6 times the gate."""
    moved = node.inputs[0]
    assert moved is not None
    inner = editor.inner(moved, "Add")
    shifted = None if inner is None else with_number(inner)
    bounds = number(given(node, 1), moved), number(given(node, 2), moved)
    if inner is None or shifted is None or shifted[1] != 3 or bounds != (0, 6):
        return None
    return _Gate(shifted[0], 6, "HardSwish", {}, [node, inner])


def _mish(node: Node, editor: Editor) -> _Gate | None:
    inner = editor.inner(node.inputs[0], "Softplus")
    if inner is None or inner.inputs[0] is None:
        return None
    return _Gate(inner.inputs[0], 1, "Mish", {}, [node, inner])


def _gelu(node: Node, editor: Editor) -> _Gate | None:
    """1 + erf(x / sqrt(2)), or the tanh that is nearly that: twice the gate."""
    shifted = with_number(node)
    if shifted is None or shifted[1] != 1:
        return None
    inner = editor.inner(shifted[0], "Erf", "Tanh")
    root = None if inner is None else editor.inner(inner.inputs[0], "Mul", "Div")
    parts = _Product()
    if inner is None or root is None or not _collect(root, editor, parts) or len(parts.values) != 1:
        return None
    (x,) = parts.values
    nodes = [node, inner, root, *parts.nodes]
    if inner.operation == "Erf":
        return _Gate(x, 2, "Gelu", {}, nodes) if is_near(parts.factor, math.sqrt(0.5), x.dtype) else None
    total = editor.inner(x, "Add")
    if total is None or not is_near(parts.factor, math.sqrt(2 / math.pi), x.dtype):
        return None
    return _cubic(total, editor, nodes)


def _cubic(total: Node, editor: Editor, nodes: list[Node]) -> _Gate | None:
    """x + 0.044715 * x**3"""
    for x, value in (total.inputs, total.inputs[::-1]):
        cube, parts = editor.inner(value, "Mul"), _Product()
        if x is None or cube is None or not _collect(cube, editor, parts):
            continue
        nodes_of_cube = [total, cube, *parts.nodes]
        power = editor.inner(parts.values[0], "Pow") if len(parts.values) == 1 else None
        if power is not None and power.inputs[0] is x and number(power.inputs[1], x) == 3:
            nodes_of_cube.append(power)
        elif len(parts.values) != 3 or any(factor is not x for factor in parts.values):
            continue
        if is_near(parts.factor, 0.044715, x.dtype):
            return _Gate(x, 2, "Gelu", {"approximate": "tanh"}, [*nodes, *nodes_of_cube])
    return None


_GATES: dict[str, Callable[[Node, Editor], _Gate | None]] = {
    "Add": _gelu,
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "Sigmoid": _sigmoid,
    "Tanh": _mish,
}


def softplus(node: Node, editor: Editor) -> None:
    """log(exp(x) + 1)"""
    total = editor.inner(node.inputs[0], "Add")
    shifted = None if total is None else with_number(total)
    power = None if shifted is None or shifted[1] != 1 else editor.inner(shifted[0], "Exp")
    if total is None or power is None or not is_float(power.inputs[0]):
        return
    new = Node("Softplus", [power.inputs[0]], node.outputs, name=node.name)
    editor.replace(node, new, line=f"{told(new)} from 3 nodes")
    editor.remove(total, power)
