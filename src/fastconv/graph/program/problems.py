"""Nodes of convolutions as the problems that the backend knows. Used by `layouts.py` and `lower_windows.py`."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fastconv.graph.error import errors_of
from fastconv.graph.graph import Node, Value
from fastconv.graph.operations.conv import activation_of, row
from fastconv.graph.operations.conv_transpose import transposed_options, transposed_padding
from fastconv.graph.operations.windows import Windows
from fastconv.graph.program.operands import dtype_of, given, sizes_of
from fastconv.problem.convolution import SUMS, ConvOptions, ConvProblem, with_algorithm
from fastconv.problem.layout import Shape, batch_shape, weight_shape
from fastconv.problem.options import Activation
from fastconv.problem.options import activation as read_activation
from fastconv.settings.precision import get_precision
from fastconv.typing import Array, Layout


def image(shape: tuple[int, ...]) -> tuple[int, ...]:
    """That of signals as images of one row."""
    return (*shape[:2], 1, *shape[2:]) if len(shape) == 3 else shape


def activation(node: Node) -> Activation | None:
    """What a node does to its sums."""
    if affine := node.attributes.get("affine"):
        return Activation("scaled_hardswish", *affine)
    if node.attributes.get("activation") == "prelu":
        return Activation("prelu")
    return read_activation(node.operation, activation_of(node.attributes))


def slopes_of(node: Node) -> Array | None:
    """Those of the channels, where that is "prelu"."""
    out = node.outputs[0]
    if node.attributes.get("activation") != "prelu" or out is None:
        return None
    return np.array(node.attributes["activation_params"], out.dtype)


class Problems:
    """What the convolutions of a graph do, each worked out once for all who ask while it is compiled."""

    def __init__(self) -> None:
        self._known: dict[tuple[Node, Layout], ConvProblem | None] = {}

    def of(self, node: Node, layout: Layout) -> ConvProblem | None:
        """On images of that layout; None where the kernels cannot."""
        key = node, layout
        if key not in self._known:
            with errors_of(node):
                self._known[key] = _problem_of(node, layout)
        return self._known[key]


def _problem_of(node: Node, layout: Layout) -> ConvProblem | None:
    x, weight = node.inputs[0], node.inputs[1]
    assert x is not None
    assert weight is not None
    assert x.dtype is not None
    bias = given(node, 2)
    if dtype_of(node) is None or weight.dtype != x.dtype or not weight.is_constant:
        return None
    if not prod(sizes_of(x)) or not prod(sizes_of(weight)):
        return None
    if bias is not None and (not bias.is_constant or bias.dtype != x.dtype):
        return None
    options = _OPTIONS[node.operation](node, x, weight, layout)
    if options is None:
        return None
    sizes, kernel = _sizes(x), _kernel(weight)
    shape = batch_shape(layout, *sizes[:2], sizes[2:])
    problem = options.problem(shape, weight_shape(layout, *kernel[:2], kernel[2:]), x.dtype, get_precision())
    return of_a_step(problem)


def of_a_step(problem: ConvProblem) -> ConvProblem:
    """The problem for a step in C, which does not look at its image first: strict ones are sums."""
    return with_algorithm(problem, SUMS) if problem.precision == "strict" else problem


def _sizes(x: Value) -> Shape:
    shape = sizes_of(x)
    batch, channels, height, width = image(shape)
    return batch, channels, height, width


def _kernel(weight: Value) -> Shape:
    shape = sizes_of(weight)
    outer, inner, height, width = *shape[:2], *((1, 1, *shape[2:])[-2:])
    return outer, inner, height, width


def _plain(node: Node, x: Value, weight: Value, layout: Layout) -> ConvOptions | None:
    if len(sizes_of(x)) not in (3, 4) or len(sizes_of(weight)) not in (3, 4):
        return None
    windows: Any = row(Windows.of(sizes_of(weight)[2:], node.attributes))
    padding = windows.padding(image(sizes_of(x))[2:])
    sides = windows.strides, padding, windows.dilations, node.attributes.get("group", 1)
    return ConvOptions.read(node.operation, *sides, layout=layout)


def _transposed(node: Node, x: Value, weight: Value, layout: Layout) -> ConvOptions | None:
    if len(sizes_of(x)) not in (3, 4) or len(sizes_of(weight)) not in (3, 4):
        return None
    windows = Windows.of(sizes_of(weight)[2:], node.attributes)
    padding, more, beyond = transposed_padding(windows, sizes_of(x)[2:], node.attributes)
    if any(beyond):
        return None
    strides, pads, extra, groups, dilations = transposed_options(
        windows, padding, more, node.attributes.get("group", 1)
    )
    sides = strides, pads, dilations, groups
    return ConvOptions.read(node.operation, *sides, output_padding=extra, layout=layout)


_OPTIONS = {
    "Conv": _plain,
    "ConvTranspose": _transposed,
    "fastconv.Conv": _plain,
    "fastconv.ConvTranspose": _transposed,
}
