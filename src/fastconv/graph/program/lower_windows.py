"""Convolution and pooling as steps in C. Fills the table of `lowering.py`."""

from __future__ import annotations

from math import prod
from typing import Any

from fastconv.backends.cython import BACKEND
from fastconv.graph.graph import Node, Value
from fastconv.graph.operations.conv import activation_of, row
from fastconv.graph.operations.conv_transpose import transposed_options, transposed_padding
from fastconv.graph.operations.windows import Windows
from fastconv.graph.program.lowering import Builder, attributes_of, dtype_of, given, lowers, sizes_of
from fastconv.ops.plan import Conv2dPlan, ConvTranspose2dPlan
from fastconv.ops.plan_base import Plan
from fastconv.problem.convolution import ConvOptions
from fastconv.problem.pooling import PoolProblem, Reducer, adaptive, sliding
from fastconv.typing import Array

Shape = tuple[int, ...]


def _image(shape: Shape) -> Shape:
    """That of signals as images of one row."""
    return (*shape[:2], 1, *shape[2:]) if len(shape) == 3 else shape


def constant_weights(node: Node) -> tuple[Array, Array | None] | None:
    """Weight and bias, of the input's dtype, where both are constants of images, signals or dense layers."""
    x, weight, bias = node.inputs[0], node.inputs[1], given(node, 2)
    assert x is not None
    assert weight is not None
    if dtype_of(node) is None or weight.dtype != x.dtype or not weight.is_constant:
        return None
    if len(sizes_of(weight)) not in (2, 3, 4) or (bias is not None and not bias.is_constant):
        return None
    return weight.constant, None if bias is None else bias.constant


def _add(b: Builder, node: Node, plan: Plan, x: Shape, residual: Value | None) -> bool:
    """The step of a plan on images; False where the kernels do not do all of it."""
    source, result = node.inputs[0], node.outputs[0]
    assert source is not None
    assert result is not None
    assert source.dtype is not None
    if residual is not None and (residual.dtype, residual.shape) != (result.dtype, result.shape):
        return False
    known = plan._for_network(x, source.dtype)
    if known is None:
        return False
    *what, work = known
    reads = [b.place(source), -1 if residual is None else b.place(residual)]
    b.add("conv", what, reads, b.place(result), work=work)
    return True


@lowers("Conv", "fastconv.Conv")
def convolution(b: Builder, node: Node) -> bool:
    x, residual = node.inputs[0], given(node, 3)
    assert x is not None
    known = constant_weights(node)
    if known is None or len(sizes_of(x)) not in (3, 4):
        return False
    weight, bias = known
    shape = _image(sizes_of(x))
    windows = row(Windows.of(weight.shape[2:], node.attributes))
    stride: Any
    padding: Any
    dilation: Any
    stride, padding, dilation = windows.strides, windows.padding(shape[2:]), windows.dilations
    group, function = attributes_of(node)["group"], activation_of(node.attributes)
    options = ConvOptions.read(node.operation, stride, padding, dilation, group, activation=function)
    return _add(b, node, b.plan(Conv2dPlan, options, weight, bias), shape, residual)


@lowers("ConvTranspose", "fastconv.ConvTranspose")
def transposed(b: Builder, node: Node) -> bool:
    x = node.inputs[0]
    assert x is not None
    known = constant_weights(node)
    if known is None or len(sizes_of(x)) not in (3, 4):
        return False
    weight, bias = known
    windows = Windows.of(weight.shape[2:], node.attributes)
    padding, more, beyond = transposed_padding(windows, sizes_of(x)[2:], node.attributes)
    if any(beyond):
        return False
    strides, pads, extra, groups, dilations = transposed_options(
        windows, padding, more, attributes_of(node)["group"]
    )
    sides, function = (strides, pads, dilations, groups), activation_of(node.attributes)
    options = ConvOptions.read(node.operation, *sides, output_padding=extra, activation=function)
    return _add(b, node, b.plan(ConvTranspose2dPlan, options, weight, bias), _image(sizes_of(x)), None)


def _pool(b: Builder, node: Node, windows: tuple[Any, Any], reducer: Reducer) -> bool:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    assert y is not None
    shape = _image(sizes_of(x))
    if not prod(shape):
        return False
    assert x.dtype is not None
    problem = PoolProblem(shape[0], shape[1], (shape[2], shape[3]), "NCHW", x.dtype, *windows, reducer)
    shortcut = BACKEND.pool_shortcut(problem, _image(sizes_of(y)))
    b.add("pool", [shortcut], [b.place(x)], b.place(y), algorithm="pool")
    return True


@lowers("MaxPool", "AveragePool")
def pooling(b: Builder, node: Node) -> bool:
    x = node.inputs[0]
    assert x is not None
    shape = sizes_of(x)
    if dtype_of(node) is None or len(shape) not in (3, 4) or len(node.outputs) > 1:
        return False
    given_windows = Windows.of(node.attributes["kernel_shape"], node.attributes)
    pads = given_windows.padding(shape[2:])
    if any(max(p) >= e for p, e in zip(pads, given_windows.extents, strict=True)):
        return False
    average = node.operation == "AveragePool"
    if average and set(given_windows.dilations) != {1}:
        return False
    windows, size = row(given_windows), _image(shape)[2:]
    padding = windows.padding(size)
    rules = {"count_padding": bool(attributes_of(node)["count_include_pad"])} if average else {}
    both = [
        sliding(
            node.operation, ("height", "width")[a], size[a], windows.kernel[a], windows.strides[a], padding[a],
            windows.dilations[a], given_windows.ceil, **rules,
        )
        for a in (0, 1)
    ]  # fmt: skip
    return _pool(b, node, (both[0], both[1]), "sum" if average else "max")


@lowers("GlobalAveragePool", "GlobalMaxPool")
def global_pooling(b: Builder, node: Node) -> bool:
    x = node.inputs[0]
    assert x is not None
    if dtype_of(node) is None or len(sizes_of(x)) not in (3, 4):
        return False
    size = _image(sizes_of(x))[2:]
    windows = adaptive(size[0], 1), adaptive(size[1], 1)
    return _pool(b, node, windows, "sum" if node.operation == "GlobalAveragePool" else "max")
