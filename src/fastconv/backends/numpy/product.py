"""Matrix products in pieces: Python handles signals between NumPy's calls, not within, so that none may be long."""

from __future__ import annotations

import math

import numpy as np

from fastconv.typing import Array

_WORK = 2**29  # multiplications of one call: some 10 milliseconds


def product(left: Array, right: Array) -> Array:
    """``left @ right``, which are stacks of matrices."""
    stack = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    if math.prod(stack) * math.prod(left.shape[-2:]) * right.shape[-1] <= _WORK:
        result: Array = left @ right
        return result
    result = np.empty((*stack, left.shape[-2], right.shape[-1]), np.result_type(left, right))
    left, right = (np.broadcast_to(a, (*stack, *a.shape[-2:])) for a in (left, right))
    _fill(left, right, result)
    return result


def _fill(left: Array, right: Array, out: Array) -> None:
    """Halve the longest axis of what is too much for one call."""
    inner = left.shape[-1]
    if out.size * inner <= _WORK:
        np.matmul(left, right, out=out)
        return
    if out.ndim > 2:
        half = out.shape[0] // 2
        if half:
            _fill(left[:half], right[:half], out[:half])
            _fill(left[half:], right[half:], out[half:])
        else:
            _fill(left[0], right[0], out[0])
        return
    rows, columns = out.shape
    if rows == max(rows, columns, inner):
        _fill(left[: rows // 2], right, out[: rows // 2])
        _fill(left[rows // 2 :], right, out[rows // 2 :])
    elif columns >= inner:
        _fill(left, right[:, : columns // 2], out[:, : columns // 2])
        _fill(left, right[:, columns // 2 :], out[:, columns // 2 :])
    else:
        _fill(left[:, : inner // 2], right[: inner // 2], out)
        rest = np.empty_like(out)
        _fill(left[:, inner // 2 :], right[inner // 2 :], rest)
        out += rest
