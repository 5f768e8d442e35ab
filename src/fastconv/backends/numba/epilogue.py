"""What happens to a finished sum while it is in cache: residual, activation, and its way into the result.

Called by the convolution kernels for one contiguous run of results at a time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv.backends.numba.compile import device
from fastconv.options import Activation

_CODES = {"relu": 1, "clip": 2, "leaky_relu": 3, "sigmoid": 4, "tanh": 5, "silu": 6, "hardswish": 7, "gelu": 8}
_ROOT_HALF = math.sqrt(0.5)


def activation_code(activation: Activation | None) -> tuple[int, float, float]:
    """The numbers by which a kernel knows an activation; 0 for none."""
    return (0, 0.0, 0.0) if activation is None else (_CODES[activation.name], activation.a, activation.b)


@device
def finish(
    sums: Any, start: int, count: int, residual: Any, activation: tuple[int, float, float], out: Any, at: int, step: int
) -> None:
    """``out[at + i * step] = activation(sums[start + i] + residual[at + i * step])`` for ``i < count``.

    `sums` is overwritten; `residual` may be empty. Indices are unsigned, because numba lets negative ones count
    from the end, which costs more than the loop's work; and slices would cost as much as 500 sums.
    """
    first, n, origin, stride = np.uintp(start), np.uintp(count), np.uintp(at), np.uintp(step)
    if residual.size > 0:
        for i in range(n):
            sums[first + i] += residual[origin + i * stride]
    if activation[0] != 0:
        _activate(sums, first, first + n, activation)
    if step == 1:
        for i in range(n):
            out[origin + i] = sums[first + i]
    else:
        for i in range(n):
            out[origin + i * stride] = sums[first + i]


@device
def _activate(v: Any, start: int, stop: int, activation: tuple[int, float, float]) -> None:
    """In place. Comparisons are such that NaN stays NaN."""
    kind, a, b = activation[0], v.dtype.type(activation[1]), v.dtype.type(activation[2])
    zero, one, half = v.dtype.type(0), v.dtype.type(1), v.dtype.type(0.5)
    three, six, root_half = v.dtype.type(3), v.dtype.type(6), v.dtype.type(_ROOT_HALF)
    if kind == 1:
        for i in range(start, stop):
            v[i] = zero if v[i] < zero else v[i]
    elif kind == 2:
        for i in range(start, stop):
            low = a if v[i] < a else v[i]
            v[i] = b if low > b else low
    elif kind == 3:
        for i in range(start, stop):
            v[i] = v[i] if v[i] > zero else a * v[i]
    elif kind == 4:
        for i in range(start, stop):
            v[i] = one / (one + math.exp(-v[i]))
    elif kind == 5:
        for i in range(start, stop):
            v[i] = math.tanh(v[i])
    elif kind == 6:
        for i in range(start, stop):
            v[i] = v[i] * (one / (one + math.exp(-v[i])))
    elif kind == 7:
        for i in range(start, stop):
            low = zero if v[i] + three < zero else v[i] + three
            v[i] = v[i] * (six if low > six else low) / six
    else:
        for i in range(start, stop):
            v[i] = v[i] * half * (one + math.erf(v[i] * root_half))
