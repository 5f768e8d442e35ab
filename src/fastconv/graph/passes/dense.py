"""The pass `dense`: products with a constant matrix as fully connected layers."""

from __future__ import annotations

import numpy as np

from fastconv.graph.graph import Node, Value
from fastconv.graph.passes.editor import Editor, told
from fastconv.graph.passes.matching import attribute, given, is_float
from fastconv.typing import Array


def dense(editor: Editor) -> None:
    """Let Gemm and MatMul with a constant matrix be `fastconv.Dense`, whose weights are prepared and which takes an
    activation."""
    for node in editor.nodes():
        inputs = _layer(node)
        if inputs is not None:
            new = Node("fastconv.Dense", list(inputs), node.outputs, name=node.name)
            editor.replace(node, new, line=f"{told(node)} is fastconv.Dense")


def _layer(node: Node) -> list[Value] | None:
    """Its inputs as those of the layer."""
    if node.operation not in ("Gemm", "MatMul"):
        return None
    x, matrix = node.inputs[:2]
    if x is None or matrix is None or matrix.constant is None or matrix.constant.ndim != 2:
        return None
    if not is_float(x) or x.is_constant or x.dtype != matrix.dtype or not matrix.constant.size:
        return None
    if node.operation == "MatMul":
        return [x, _matrix(matrix, matrix.constant.T)]
    if attribute(node, "transA"):
        return None
    weight, alpha = (
        matrix.constant if attribute(node, "transB") else matrix.constant.T,
        attribute(node, "alpha"),
    )
    scaled = _matrix(matrix, weight if alpha == 1 else (weight * np.float64(alpha)).astype(weight.dtype))
    added = given(node, 2)
    if added is None:
        return [x, scaled]
    bias = _bias(added, len(weight), attribute(node, "beta"))
    return None if bias is None or added.dtype != x.dtype else [x, scaled, bias]


def _matrix(value: Value, weight: Array) -> Value:
    return value if weight is value.constant else Value.of(value.name, weight)


def _bias(value: Value, filters: int, beta: float) -> Value | None:
    """A constant that is added to every row."""
    array = value.constant
    if array is None or array.ndim > 2 or array.shape[-1:] not in ((), (1,), (filters,)):
        return None
    if array.ndim == 2 and len(array) != 1:
        return None
    if array.shape == (filters,) and beta == 1:
        return value
    scaled = (array * np.float64(beta)).astype(array.dtype)
    return Value.of(value.name, np.broadcast_to(scaled.reshape(-1), (filters,)).copy())
