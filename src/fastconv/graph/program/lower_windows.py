"""Convolution and pooling as steps in C. Fills the table of `lowering.py`."""

from __future__ import annotations

from math import prod
from typing import Any

from fastconv.backends.cython import BACKEND
from fastconv.execution.convolution import read_bias
from fastconv.graph.costs import words_of
from fastconv.graph.graph import Node, Value
from fastconv.graph.operations.conv import row
from fastconv.graph.operations.windows import Windows
from fastconv.graph.program.lowering import Before, Builder, attributes_of, lowers
from fastconv.graph.program.operands import dtype_of, given, sizes_of
from fastconv.graph.program.problems import activation, image, slopes_of
from fastconv.graph.remade import Remade
from fastconv.problem.convolution import ConvProblem, with_algorithm
from fastconv.problem.layout import batch_shape
from fastconv.problem.options import Activation
from fastconv.problem.pooling import PoolProblem, Reducer, SlidingWindows, adaptive, sliding, some_jump
from fastconv.typing import Array

# They may do something to images before.
_BEFORE = ("direct_channels", "direct_pixels")


def add_convolution(
    b: Builder,
    problem: ConvProblem,
    function: Activation | None,
    weight: Array | Remade,
    bias: Array | None,
    reads: list[int],
    out: int,
    *,
    slopes: Array | None = None,
    rescale: tuple[Array, Array] | None = None,
    words: str = "",
) -> None:
    """The step of a problem, whose weights are those of NCHW; `reads` are the image, the residual and the image's gate,
    `slopes` what "prelu" has for each channel; `rescale` as in `Before`; `words` as for `Builder.add`."""
    shortcut = BACKEND.conv_shortcut(problem, function, problem.result_shape, once=False)
    known = None if bias is None else read_bias(problem.op, bias, problem.result_channels, problem.dtype)
    made = prod(problem.result_shape)
    read = prod(problem.operand_shape)
    rows = rescale or (None, None)
    what, work = (shortcut, b.prepared(problem, weight), known, slopes, *rows), BACKEND.work(problem)
    elements = read, made, prod(problem.operand_shape[:1]) * problem.channels, made
    b.add("conv", what, reads, out, work=work, words=words, problem=problem, elements=elements)


def _does(problem: ConvProblem, before: Before) -> bool:
    """Can the kernel do that to its images, and is it no more work? It multiplies the weights with each image's gate,
    in place of the image's pixels; it rescales pixels as it packs them, where it reads all of an image and no more.
    With padding, weights that are no numbers would reach pixels beyond the image."""
    if before.gate is not None:
        suits = problem.filters <= prod(problem.out_size)
    else:
        suits = problem.stride == (1, 1) and problem.size == problem.out_size
    return (
        suits
        and problem.kernel == (1, 1)
        and not any(problem.padding)
        and problem.groups == 1
        and not problem.transposed
        and BACKEND.work(problem).algorithm in _BEFORE
    )


@lowers("Conv", "ConvTranspose", "fastconv.Conv", "fastconv.ConvTranspose")
def convolution(b: Builder, node: Node) -> bool:
    x, weight, out = node.inputs[0], node.inputs[1], node.outputs[0]
    bias, residual = given(node, 2), given(node, 3)
    assert x is not None
    assert weight is not None
    assert out is not None
    if residual is not None and (residual.dtype, residual.shape) != (out.dtype, out.shape):
        return False
    layout = b.layout(out)
    problem, form = b.problems.of(node, layout), b.forms.get(id(node))
    if problem is None:
        return False
    if form is not None:
        problem = with_algorithm(problem, form)
    problem = b.planned(problem, weight.held)
    before = b.before(x, lambda late: _does(problem, late))
    if before is None:
        seen, gate, rescale, words = b.place(x, layout), -1, None, ""
    else:
        seen, rescale = b.place(before.image, layout), before.rescale
        gate = -1 if before.gate is None else b.place(before.gate)
        words = f"{words_of(before.node)} + {words_of(node)}"
    reads = [seen, -1 if residual is None else b.place(residual, layout), gate]
    added = None if bias is None else bias.constant
    around: Any = {"slopes": slopes_of(node), "rescale": rescale, "words": words}
    add_convolution(b, problem, activation(node), weight.held, added, reads, b.place(out, layout), **around)
    return True


def _pool(b: Builder, node: Node, windows: tuple[Any, Any], reducer: Reducer, x: Value | None = None) -> bool:
    """`x` is what is pooled in place of the node's input."""
    x, y = x or node.inputs[0], node.outputs[0]
    assert x is not None
    assert y is not None
    shape = image(sizes_of(x))
    if not prod(shape):
        return False
    assert x.dtype is not None
    layout = b.layout(y)
    problem = PoolProblem(shape[0], shape[1], (shape[2], shape[3]), layout, x.dtype, *windows, reducer)
    batch, channels, height, width = image(sizes_of(y))
    shortcut = BACKEND.pool_shortcut(problem, batch_shape(layout, batch, channels, (height, width)))
    elements = prod(shape), prod(problem.result_shape)
    b.add("pool", [shortcut], [b.place(x, layout)], b.place(y, layout), algorithm="pool", elements=elements)
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
    windows, size = row(given_windows), image(shape)[2:]
    padding = windows.padding(size)
    rules = (
        {"count_padding": bool(attributes_of(node)["count_include_pad"])} if average else {"may_jump": True}
    )
    both = [
        sliding(
            node.operation, ("height", "width")[a], size[a], windows.kernel[a], windows.strides[a], padding[a],
            windows.dilations[a], given_windows.ceil, **rules,
        )
        for a in (0, 1)
    ]  # fmt: skip
    if any(map(some_jump, both)):
        return False
    return _pool(b, node, (both[0], both[1]), "sum" if average else "max")


@lowers("GlobalAveragePool", "GlobalMaxPool")
def global_pooling(b: Builder, node: Node) -> bool:
    x = node.inputs[0]
    assert x is not None
    if dtype_of(node) is None or len(sizes_of(x)) not in (3, 4):
        return False
    size = image(sizes_of(x))[2:]
    windows = adaptive(size[0], 1), adaptive(size[1], 1)
    if node.operation == "GlobalMaxPool":
        return _pool(b, node, windows, "max")
    sums = b.row_sums(x)
    if sums is not None:
        pieces = sizes_of(sums)[3]
        of_rows = SlidingWindows(pieces, 1, pieces, pieces, 0, 1, (0, pieces), divisor=size[1])
        return _pool(b, node, (windows[0], of_rows), "sum", sums)
    return _pool(b, node, windows, "sum")
