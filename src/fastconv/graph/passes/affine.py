"""The pass `affine`: what multiplies channels and adds to them goes into the weights before, or becomes one step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np

from fastconv.graph.graph import Node, Value
from fastconv.graph.pages import Blocks, forget
from fastconv.graph.passes.editor import Editor, name_of, told
from fastconv.graph.passes.matching import attribute, given, is_float
from fastconv.graph.remade import Remade
from fastconv.typing import Array

_STEPS = ("Add", "BatchNormalization", "Div", "Mul", "Sub")
_WEIGHTED = ("Conv", "ConvTranspose", "fastconv.Conv", "fastconv.ConvTranspose", "fastconv.Dense")


_ONE: Array = np.ones(())
_ZERO: Array = np.zeros(())


class _Step(NamedTuple):
    """x * scale + shift for each channel (or for all alike), in float64."""

    scale: Array
    shift: Array

    def then(self, other: _Step) -> _Step:
        return _Step(self.scale * other.scale, self.shift * other.scale + other.shift)


def affine(editor: Editor) -> None:
    """Take a chain of BatchNormalization (inference) and of sums and products with a constant for each channel together
    in float64, and round once: into the weights and bias of a convolution or dense layer before it, or of the one that
    alone reads it (a sum only where that pads nothing), else, where that leaves fewer nodes or a BatchNormalization is
    among them, into one Mul and one Add."""
    for node in editor.nodes():
        if node.operation in _WEIGHTED:
            _fold(node, editor)
            _fold_before(node, editor)
        elif node.operation in _STEPS and not _follows(node, editor):
            _merge(node, editor)


def _fold(node: Node, editor: Editor) -> None:
    weight, bias = given(node, 1), given(node, 2)
    output = node.outputs[0]
    if output is None or not is_float(output) or weight is None or weight.constant is None:
        return
    if given(node, 3) is not None or node.attributes.get("activation"):
        return
    filters = _filters(node, weight)
    if not _is_bias(bias, filters):
        return
    steps, nodes = _chain(output, -1 if node.operation == "fastconv.Dense" else 1, editor, filters)
    if not steps:
        return
    whole = steps[0]
    for step in steps[1:]:
        whole = whole.then(step)
    own = np.zeros(filters)
    if bias is not None:
        own += bias.constant
    groups = attribute(node, "group") if "Transpose" in node.operation else 0
    scaled = _scaled(weight, groups, whole.scale, editor.blocks)
    moved = (own * whole.scale + whole.shift).astype(scaled.dtype)
    forget(weight.held)
    if not (np.isfinite(moved).all() and np.isfinite(scaled).all()):
        return
    name = f"{name_of(node)} bias" if bias is None else bias.name
    again = partial(_scaled, weight, groups, whole.scale)
    inputs = [node.inputs[0], _remade(weight, scaled, again), Value.of(name, moved)]
    new = Node(node.operation, inputs, nodes[-1].outputs, node.attributes, name=name_of(node))
    _put(new, [node, *nodes], editor, f"{', '.join(map(told, nodes))} into {told(node)}")


def _fold_before(node: Node, editor: Editor) -> None:
    """The affine steps whose result a layer alone reads, into its weights; from behind, as many as can."""
    weight, bias = given(node, 1), given(node, 2)
    x = node.inputs[0]
    if node not in editor or "Transpose" in node.operation or not is_float(x) or x is None:
        return
    if weight is None or weight.constant is None:
        return
    if editor.maker(weight) is not None or x.dtype != weight.dtype:
        return
    dense = node.operation == "fastconv.Dense"
    group = 1 if dense else attribute(node, "group")
    (filters, each), taps = weight.constant.shape[:2], prod(weight.constant.shape[2:])
    if group < 1 or filters % group or not _is_bias(bias, filters):
        return
    pads = not dense and _pads(node)
    whole, nodes = _Step(_ONE, _ZERO), list[Node]()
    while (maker := editor.maker(x)) is not None and editor.only_reader(x) is not None:
        found = _step_to(maker, -1 if dense else 1)
        if found is None or (pads and found[1].shift.any()):
            break
        x, step = found
        whole = step.then(whole)
        nodes.append(maker)
    if not nodes:
        return
    # A filter sees the channels of its group. Its weights are one long row, which NumPy walks faster than short ones.
    groups = weight.constant.reshape(group, filters // group, each * taps)
    scale, shift = (
        np.broadcast_to(part, (group * each,)).repeat(taps).reshape(group, 1, each * taps) for part in whole
    )
    scaled = _scaled_before(weight, groups.shape, scale, editor.blocks)
    inputs: list[Value | None] = [x, None, bias, *node.inputs[3:]]
    moved = np.zeros(())
    if shift.any():
        moved = np.einsum("gft,gt->gf", groups, shift[:, 0]).reshape(filters)
        if bias is not None:
            moved = moved + bias.constant
        moved = moved.astype(weight.dtype)
        inputs[2] = Value.of(f"{name_of(node)} bias" if bias is None else bias.name, moved)
    forget(weight.held)
    if not (np.isfinite(moved).all() and np.isfinite(scaled).all()):
        return
    inputs[1] = _remade(weight, scaled, partial(_scaled_before, weight, groups.shape, scale))
    new = Node(node.operation, inputs, node.outputs, node.attributes, name=name_of(node))
    editor.replace(node, new, line=f"{', '.join(map(told, nodes[::-1]))} into {told(node)}")
    editor.remove(*nodes)


def _step_to(node: Node, axis: int) -> tuple[Value, _Step] | None:
    """What an affine node reads, and does to it."""
    for value in node.inputs:
        if value is not None and not value.is_constant and is_float(value):
            step = _step(node, value, axis, None)
            return None if step is None else (value, step)
    return None


def _pads(node: Node) -> bool:
    """Does a convolution see zeros around its image?"""
    if attribute(node, "auto_pad") in ("SAME_UPPER", "SAME_LOWER"):
        return True
    return attribute(node, "auto_pad") != "VALID" and any(attribute(node, "pads") or ())


def _put(new: Node, old: list[Node], editor: Editor, line: str) -> None:
    """In the place of the last one."""
    editor.replace(old[-1], new, line=line)
    editor.remove(*old[:-1])


def _is_bias(bias: Value | None, filters: int) -> bool:
    """Is there none, or a constant with a number for each filter? Any other is for the layer to refuse."""
    return bias is None or (bias.constant is not None and bias.constant.shape == (filters,))


def _filters(node: Node, weight: Value) -> int:
    array = weight.constant
    return int(array.shape[1]) * attribute(node, "group") if "Transpose" in node.operation else len(array)


def _scaled(value: Value, groups: int, scale: Array, blocks: Blocks | None = None) -> Array:
    """Weights times the scale of their filter: computed in float64, rounded once. Those of a transposed convolution
    have so many groups; 0 for others."""
    weight: Array = value.constant
    if scale.ndim and groups:
        parts = weight.reshape(groups, -1, *weight.shape[1:])
        factors = scale.reshape(groups, 1, -1, *(1,) * (weight.ndim - 2))
    else:
        parts, factors = weight, scale.reshape(-1, *(1,) * (weight.ndim - 1)) if scale.ndim else scale
    return _product(parts, factors, blocks).reshape(weight.shape)


def _scaled_before(value: Value, shape: tuple[int, ...], scale: Array, blocks: Blocks | None = None) -> Array:
    """Weights of that shape by groups, filters and all else, times the scale of what each element meets."""
    weight: Array = value.constant
    return _product(weight.reshape(shape), scale, blocks).reshape(weight.shape)


def _product(parts: Array, factors: Array, blocks: Blocks | None) -> Array:
    out = np.empty(parts.shape, parts.dtype.newbyteorder("=")) if blocks is None else blocks.like(parts)
    return np.multiply(parts, factors, out=out, casting="same_kind")


def _remade(weight: Value, scaled: Array, make: Callable[[], Array]) -> Value:
    """Weights that need not stay where a kernel takes them in another form."""

    def again() -> Array:
        made = make()
        forget(weight.held)
        return made

    return Value.of(weight.name, Remade(scaled, again))


def _chain(value: Value, axis: int, editor: Editor, channels: int | None) -> tuple[list[_Step], list[Node]]:
    """The affine steps that follow a value, each the only reader of the one before."""
    steps, nodes = list[_Step](), list[Node]()
    reader = editor.only_reader(value)
    while reader is not None:
        step = _step(reader, value, axis, channels)
        if step is None:
            break
        steps.append(step)
        nodes.append(reader)
        (output,) = reader.outputs[:1]
        assert output is not None
        value, reader = output, editor.only_reader(output)
    return steps, nodes


def _step(node: Node, value: Value, axis: int, channels: int | None) -> _Step | None:
    """What a node does to a value, if that is affine along an axis."""
    if node.operation == "BatchNormalization":
        return _batch_norm(node, value) if axis == 1 else None
    if node.operation not in _STEPS or len(node.inputs) != 2:
        return None
    x, y = node.inputs
    other = y if x is value else x
    constant = _along(other, value, axis, channels)
    if constant is None:
        return None
    if node.operation == "Add":
        return _Step(_ONE, constant)
    if node.operation == "Mul":
        return _Step(constant, _ZERO)
    if node.operation == "Sub":
        return _Step(_ONE, -constant) if x is value else _Step(-_ONE, constant)
    return _Step(1 / constant, _ZERO) if x is value and constant.all() else None


def _batch_norm(node: Node, value: Value) -> _Step | None:
    parameters = node.inputs[1:5]
    if node.inputs[0] is not value or attribute(node, "training_mode") or any(node.outputs[1:]):
        return None
    if any(parameter is None or parameter.constant is None for parameter in parameters):
        return None
    scale, bias, mean, variance = (
        parameter.constant.astype(np.float64) for parameter in parameters if parameter
    )
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + attribute(node, "epsilon"))
        return _Step(factor, bias - mean * factor)


def _along(other: Value | None, value: Value, axis: int, channels: int | None) -> Array | None:
    """A constant with a number for each channel of a value, or one for all, which adds no axes and no elements."""
    array: Array | None = None if other is None else other.constant
    if array is None or other is None or other.dtype != value.dtype or not array.size:
        return None
    if not array.ndim:
        return array.astype(np.float64)
    if value.shape is None or array.ndim > len(value.shape):
        return None
    place = array.ndim - (1 if axis == -1 else len(value.shape) - axis)
    if array.size == 1:
        return array.reshape(()).astype(np.float64)
    if place < 0 or array.shape[place] != array.size:
        return None
    known = value.shape[axis] if channels is None else channels
    return array.reshape(-1).astype(np.float64) if array.size == known else None


def _follows(node: Node, editor: Editor) -> bool:
    """Whether it is not the first of its chain."""
    for value in node.inputs:
        maker = editor.maker(value)
        if value is None or maker is None or editor.only_reader(value) is None or not is_float(value):
            continue
        if maker.operation in _STEPS and any(_step(maker, x, 1, None) for x in maker.inputs if x is not None):
            return _step(node, value, 1, None) is not None
    return False


def _merge(node: Node, editor: Editor) -> None:
    """A chain that follows no weights, as one product and one sum."""
    output = node.outputs[0]
    x = next((value for value in node.inputs if value is not None and not value.is_constant), None)
    if output is None or x is None or not is_float(x) or x.shape is None or len(x.shape) < 2:
        return
    first = _step(node, x, 1, None)
    if first is None:
        return
    steps, nodes = _chain(output, 1, editor, None)
    whole, nodes = first, [node, *nodes]
    for step in steps:
        whole = whole.then(step)
    new = _product_and_sum(x, whole, nodes[-1].outputs, node.name)
    is_simpler = len(new) < len(nodes) or any(n.operation == "BatchNormalization" for n in nodes)
    if new and is_simpler:
        editor.replace(
            nodes[-1], *new, line=f"{', '.join(map(told, nodes))} as {' and '.join(map(told, new))}"
        )
        editor.remove(*nodes[:-1])


def _product_and_sum(x: Value, step: _Step, outputs: list[Value | None], name: str) -> list[Node]:
    assert x.shape is not None
    (output,) = outputs[:1]
    assert output is not None
    axes = (1,) * (len(x.shape) - 2)
    scale, shift = (np.asarray(part).astype(x.dtype) for part in step)
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        return []
    constants = [
        Value.of(f"{name or output.name} {word}", part.reshape(-1, *axes) if part.ndim else part)
        for word, part in (("scale", scale), ("shift", shift))
    ]
    scaled = Value(f"{output.name} scaled", None, None, None, output.element)
    if (scale == 1).all():
        return [Node("Add", [x, constants[1]], [output], name=name)]
    if (shift == 0).all():
        return [Node("Mul", [x, constants[0]], [output], name=name)]
    return [
        Node("Mul", [x, constants[0]], [scaled]),
        Node("Add", [scaled, constants[1]], [output], name=name),
    ]
