"""What happens to finished sums while they are in cache: residual, activation, and their way into the result.

Called by the convolution kernels for one contiguous run of results at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba.activations import gelu, sigmoid, silu, tanh
from fastconv.backends.numba.compile import device, unsigned
from fastconv.backends.numba.lines import copy
from fastconv.problem.options import Activation
from fastconv.typing import Array

# The number by which a kernel knows an activation, and the activation's parameters. Where there is None of them,
# kernels are compiled without: the functions take as long as a fifth of all else.
Code = tuple[int, float, float]

_NAMES = ("relu", "clip", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish", "gelu")


def activation_code(activation: Activation) -> Code:
    return _NAMES.index(activation.name) + 1, activation.a, activation.b


@device
def finish(
    sums: Array,
    start: int,
    count: int,
    residual: Array,
    activation: Code | None,
    out: Array,
    at: int,
    step: int,
) -> None:
    """``out[at + i * step] = activation(sums[start + i] + residual[at + i * step])`` for ``i < count``.

    `sums` is overwritten; `residual` may be empty.
    """
    first, n, origin, stride = unsigned(start), unsigned(count), unsigned(at), unsigned(step)
    if residual.size > 0:
        for i in range(n):
            sums[first + i] += residual[origin + i * stride]
    if activation is not None:
        _activate(sums, first, first + n, activation)
    if step == 1:
        copy(sums, start, 1, count, out, at)
    else:
        for i in range(n):
            out[origin + i * stride] = sums[first + i]


@device
def _activate(v: Any, start: Any, stop: Any, activation: Code) -> None:
    """In place. Comparisons are such that NaN stays NaN."""
    kind, a, b = activation[0], v.dtype.type(activation[1]), v.dtype.type(activation[2])
    zero, three, six = v.dtype.type(0), v.dtype.type(3), v.dtype.type(6)
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
            v[i] = sigmoid(np.float64(v[i]))
    elif kind == 5:
        for i in range(start, stop):
            v[i] = tanh(np.float64(v[i]))
    elif kind == 6:
        for i in range(start, stop):
            v[i] = silu(np.float64(v[i]))
    elif kind == 7:
        for i in range(start, stop):
            # Where the second factor is 0 the first is limited, so that -infinity gives the limit 0.
            x = -three if v[i] < -three else v[i]
            low = x + three
            v[i] = x * ((six if low > six else low) / six)
    else:
        for i in range(start, stop):
            v[i] = gelu(np.float64(v[i]))
