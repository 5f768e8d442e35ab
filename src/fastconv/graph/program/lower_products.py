"""Dense layers, and products of matrices that are not constant, as steps in C. Fills the table of `lowering.py`.

A dense layer is the 1x1 convolution of as many images of one pixel, or of one image with channels last that has a pixel
for each row: whichever costs less by prediction. The product of A (M, K) and B (K, N) is the 1x1 convolution of B, an
image of K channels in one row of N pixels, with M filters, the rows of A; a stack of products is one with groups. The
filters are packed as the step runs.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fastconv.backends.cython import BACKEND
from fastconv.graph.graph import Node, Value
from fastconv.graph.operations.conv import activation_of
from fastconv.graph.program.lower_elementwise import Operand, compute
from fastconv.graph.program.lower_windows import add_convolution
from fastconv.graph.program.lowering import Builder, attributes_of, lowers, strides_of
from fastconv.graph.program.operands import dtype_of, given, sizes_of
from fastconv.graph.program.problems import of_a_step, slopes_of
from fastconv.graph.remade import Remade
from fastconv.problem.convolution import ConvOptions, ConvProblem
from fastconv.problem.layout import batch_shape, channels_last, weight_shape
from fastconv.problem.options import Activation
from fastconv.settings.precision import get_precision
from fastconv.typing import ActivationLike, Array, Layout

Shape = tuple[int, ...]


@lowers("fastconv.Dense")
def dense(b: Builder, node: Node) -> bool:
    x, weight, bias, out = node.inputs[0], node.inputs[1], given(node, 2), node.outputs[0]
    assert x is not None
    assert weight is not None
    assert out is not None
    if dtype_of(node) is None or any(
        not v.is_constant or v.dtype != x.dtype for v in (weight, bias) if v is not None
    ):
        return False
    if not prod(sizes_of(x)) or len(sizes_of(weight)) != 2 or sizes_of(weight)[1] != sizes_of(x)[-1]:
        return False
    rows, added = prod(sizes_of(x)[:-1]), None if bias is None else bias.constant
    after: Any = {"function": activation_of(node.attributes), "slopes": slopes_of(node)}
    add_dense(b, b.place(x), rows, weight.held, added, b.place(out), **after)
    return True


def add_dense(
    b: Builder,
    x: int,
    rows: int,
    weight: Array | Remade,
    bias: Array | None,
    out: int,
    *,
    residual: int = -1,
    function: ActivationLike | None = None,
    slopes: Array | None = None,
) -> None:
    """function(x @ weight.T + bias + residual), of that many rows; with `slopes`, one for each filter, "prelu"."""
    filters, inputs = weight.shape

    def options(layout: Layout) -> ConvOptions:
        return ConvOptions.read("dense", 1, 0, 1, 1, layout=layout, activation=function)

    def problem(layout: Layout) -> ConvProblem:
        batch, pixels = (1, rows) if channels_last(layout) else (rows, 1)
        shape, kernel = (
            batch_shape(layout, batch, inputs, (1, pixels)),
            weight_shape(layout, filters, inputs, (1, 1)),
        )
        return of_a_step(options(layout).problem(shape, kernel, weight.dtype, get_precision()))

    layouts: tuple[Layout, Layout] = ("NCHW", "NHWC")
    cheapest = min(map(problem, layouts), key=lambda one: BACKEND.work(one).cycles)
    known = options("NCHW").activation if slopes is None else Activation("prelu")
    planned = b.planned(cheapest, weight)
    add_convolution(b, planned, known, weight, bias, [x, residual, -1], out, slopes=slopes)


@lowers("MatMul")
def matrix_product(b: Builder, node: Node) -> bool:
    left, right, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert left is not None
    assert right is not None
    assert out is not None
    if dtype_of(node) is None or left.dtype != right.dtype:
        return False
    one, other = sizes_of(left), sizes_of(right)
    if not prod(one) or not prod(other):
        return False
    # Vectors are matrices of one row, or of one column.
    one = (1, *one) if len(one) == 1 else one
    other = (*other, 1) if len(other) == 1 else other
    return _add_product(b, node, (b.place(left), one), (b.place(right), other), b.place(out))


def _add_product(b: Builder, node: Node, one: tuple[int, Shape], other: tuple[int, Shape], out: int) -> bool:
    (left, (*stack, rows, inner)), (right, (*own, same, columns)) = one, other
    if inner != same:
        return False
    if prod(own) == 1:  # all rows of the stack meet the same matrix
        image, filters, groups = (1, inner, 1, columns), prod(stack) * rows, 1
    elif prod(stack) == 1:
        image, filters, groups = (prod(own), inner, 1, columns), rows, 1
    else:
        size = max(len(stack), len(own))
        if [1] * (size - len(stack)) + stack != [1] * (size - len(own)) + own:
            return False
        groups = prod(stack)
        image, filters = (1, groups * inner, 1, columns), groups * rows
    dtype = b.places.values[out].dtype
    assert dtype is not None
    options = ConvOptions.read(node.operation, 1, 0, 1, groups)
    problem = options.problem(image, (filters, inner, 1, 1), dtype, get_precision())
    shortcut = BACKEND.conv_shortcut(problem, None, problem.result_shape, True)
    work = BACKEND.work(problem, once=True)
    packed = b.scratch((max(work.weight_bytes, 1),), np.uint8)
    elements = prod(image), filters * inner, work.weight_bytes, prod(problem.result_shape)
    work = work._replace(weight_bytes=0)
    b.add("product", [shortcut], [right, left, packed], out, work=work, elements=elements)
    return True


@lowers("Gemm")
def general_product(b: Builder, node: Node) -> bool:
    left, right, added, out, a = (
        node.inputs[0],
        node.inputs[1],
        given(node, 2),
        node.outputs[0],
        attributes_of(node),
    )
    assert left is not None
    assert right is not None
    assert out is not None
    values = [value for value in (left, right, added) if value is not None]
    if dtype_of(node) is None or any(value.dtype != left.dtype for value in values):
        return False
    if any(len(sizes_of(value)) != 2 or not prod(sizes_of(value)) for value in (left, right)):
        return False
    matrices = _turned(b, left, a["transA"]), _turned(b, right, a["transB"])
    plain = added is None and a["alpha"] == 1
    shape, target = sizes_of(out), b.place(out)
    product = target if plain else b.scratch(shape, out.dtype)
    if not _add_product(b, node, *matrices, product):
        return False
    if plain:
        return True
    assert out.dtype is not None
    result, nodes = Value("", out.dtype, shape), list[Node]()
    known = {id(result): Operand(product, shape, strides_of(shape))}
    factors = [(result, a["alpha"]), *([] if added is None else [(added, a["beta"])])]
    terms = []
    for value, factor in factors:
        if factor != 1:
            scaled = Value("", out.dtype, value.shape)
            nodes.append(Node("Mul", [value, Value.of("", np.array(factor, out.dtype))], [scaled]))
            value = scaled
        terms.append(value)
    end = terms[0]
    if len(terms) > 1:
        end = Value("", out.dtype, shape)
        nodes.append(Node("Add", list(terms), [end]))
    return compute(b, nodes, end, target, known)


def _turned(b: Builder, value: Value, transposed: int) -> tuple[int, Shape]:
    """Where a matrix lies, or its transpose, and its shape."""
    rows, columns = sizes_of(value)
    if not transposed or 1 in (rows, columns):
        return b.place(value), (columns, rows) if transposed else (rows, columns)
    assert value.dtype is not None
    place = b.scratch((columns, rows), value.dtype)
    what = value.dtype.itemsize, [columns, rows], [1, columns], [rows, 1]
    b.add("copy", what, [b.place(value)], place)
    return place, (columns, rows)
