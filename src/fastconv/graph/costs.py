"""What nodes cost and how people call them: operations of their sums of products, bytes of values, words. Used by what
tells of programs, and by the command that inspects files.
"""

from __future__ import annotations

from math import prod
from typing import cast

from fastconv.graph.graph import NUMBERS, Graph, Node, Value

# Where the weights are among the inputs, for whose every output element a filter's products are summed.
_FILTERS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3, "DeformConv": 1}
# Where the second matrix is.
_MATRICES = {"MatMul": 1, "MatMulInteger": 1, "QLinearMatMul": 3}
_RECURRENT = frozenset({"GRU", "LSTM", "RNN"})
_OWN = "fastconv."
_MOST_WORDS = 6


def known_shape(value: Value | None) -> tuple[int, ...] | None:
    """The sizes of a value, None where one of them is not known."""
    if value is None or value.shape is None:
        return None
    return cast("tuple[int, ...]", value.shape) if {*map(type, value.shape)} <= NUMBERS else None


def flops_of(node: Node) -> int:
    """Multiplications and additions of a node's sums of products, as the textbook has them.

    Parameters
    ----------
    node : Node

    Returns
    -------
    int
        0 for other operations, and where shapes are not known.
    """
    operation = node.operation.removeprefix(_OWN)
    out, x = known_shape(node.outputs[0]), known_shape(node.inputs[0]) if node.inputs else None
    if out is None or x is None:
        return 0
    if operation == "ConvTranspose":
        weight = known_shape(node.inputs[1])
        return 2 * prod(x) * prod(weight[1:]) if weight else 0
    if operation in _FILTERS:
        weight = known_shape(node.inputs[_FILTERS[operation]])
        return 2 * prod(out) * prod(weight[1:]) if weight else 0
    if operation in ("Dense", "Gemm"):
        return 2 * prod(out) * (x[0] if node.attributes.get("transA") else x[-1])
    if operation in _RECURRENT:
        weights = [known_shape(value) or (0,) for value in node.inputs[1:3]]
        return 2 * prod(x[:2]) * sum(map(prod, weights))
    if operation in _MATRICES:
        return 2 * prod(out) * x[-1] if x else 0
    return 0


def bytes_of(value: Value | None) -> int:
    """The size of a value, 0 where it is not known."""
    shape = known_shape(value)
    if value is None or shape is None or value.dtype is None:
        return 0
    return prod(shape) * value.dtype.itemsize


def moved_by(node: Node) -> int:
    """The bytes that a node reads and writes, each once."""
    return sum(map(bytes_of, {*node.reads(), *(value for value in node.outputs if value is not None)}))


def base_name(node: Node) -> str:
    """Its operation as ONNX calls it, without what was fused."""
    return node.operation.removeprefix(_OWN)


def words_of(node: Node) -> str:
    """A node's operation with what was fused into it, as in ``Conv 3x3 stride 2 + Add + relu``.

    Parameters
    ----------
    node : Node
    """
    operation = base_name(node)
    body = node.attributes.get("body")
    if node.operation == f"{_OWN}Elementwise" and isinstance(body, Graph):
        names = [inner.operation for inner in body.nodes]
        more = [f"{len(names) - _MOST_WORDS} more"] if len(names) > _MOST_WORDS else []
        return " + ".join([*names[:_MOST_WORDS], *more])
    parts = [" ".join([operation, *_windows(node, operation)])]
    if operation == "Conv" and len(node.inputs) > 3 and node.inputs[3] is not None:
        parts.append("Add")
    if activation := node.attributes.get("activation"):
        parts.append(str(activation))
    factor, addend = node.attributes.get("affine") or (1.0, 0.0)
    parts += ["Mul"] * (factor != 1) + ["Add"] * (addend != 0)
    return " + ".join(parts)


def _windows(node: Node, operation: str) -> list[str]:
    """Kernel, stride and groups."""
    weight = known_shape(node.inputs[1]) if operation in ("Conv", "ConvTranspose") else None
    kernel = weight[2:] if weight else node.attributes.get("kernel_shape")
    words = ["x".join(map(str, kernel))] if kernel else []
    strides = [str(step) for step in node.attributes.get("strides") or ()]
    if set(strides) - {"1"}:
        words.append("stride " + "x".join(strides if len(set(strides)) > 1 else strides[:1]))
    if node.attributes.get("group", 1) > 1:
        words.append(f"group {node.attributes['group']}")
    return words
