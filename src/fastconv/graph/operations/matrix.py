"""Matrix products, and what goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.graph.graph import Value
from fastconv.graph.operations.rules import broadcast_shape
from fastconv.graph.operations.table import Reading, Type, operation, upgrade
from fastconv.ops.dense import dense
from fastconv.typing import Array

_FAST = (np.dtype(np.float32), np.dtype(np.float64))


def multiplied(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    a, b = inputs[:2]
    assert a is not None
    assert b is not None
    if a.shape is None or b.shape is None:
        return [Type(a.dtype)]
    rows = a.shape[-2:-1] if len(a.shape) > 1 else ()
    columns = b.shape[-1:] if len(b.shape) > 1 else ()
    stack = broadcast_shape([a.shape[:-2], b.shape[:-2]])
    assert stack is not None
    return [Type(a.dtype, (*stack, *rows, *columns))]


@operation("MatMul", rule=multiplied)
def matrix_product(a: Array, b: Array) -> Any:
    return np.matmul(a, b)


def general(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    a, b = inputs[:2]
    assert a is not None
    assert b is not None
    rows = None if a.shape is None else a.shape[1 if attributes.get("transA") else 0]
    columns = None if b.shape is None else b.shape[0 if attributes.get("transB") else 1]
    return [Type(a.dtype, (rows, columns))]


@operation("Gemm", rule=general)
def general_product(
    a: Array,
    b: Array,
    c: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Any:
    if transA:
        a = a.T
    if (
        a.dtype in _FAST
        and a.size
        and b.size
        and alpha == 1
        and (c is None or _is_bias(c, beta, b.shape[0 if transB else 1]))
    ):
        return dense(a, b if transB else b.T, None if c is None else c.ravel())
    result = a @ (b.T if transB else b)
    if alpha != 1:
        result = (result * alpha).astype(a.dtype)
    if c is None:
        return result
    return result + (c if beta == 1 else (c * beta).astype(a.dtype))


def _is_bias(c: Array, beta: float, columns: int) -> bool:
    """One number for each column."""
    return beta == 1 and c.ndim > 0 and c.size == c.shape[-1] == columns


@upgrade("Gemm", to=7)
def broadcasting_is_general(reading: Reading) -> None:
    reading.attributes.pop("broadcast", None)


@operation("Einsum")
def einstein_sum(*values: Array, equation: str) -> Any:
    return np.einsum(equation.replace(" ", ""), *values, optimize=True)


@operation("Det")
def determinant(x: Array) -> Any:
    return np.linalg.det(x).astype(x.dtype)
