"""What happens to finished sums while they are in cache: residual, activation, and their way into the result.

Called by the convolution kernels for one contiguous run of results at a time.
"""

from __future__ import annotations

import math
from typing import Any

from fastconv.backends.numba.compile import device, unsigned
from fastconv.backends.numba.lines import copy
from fastconv.problem.options import Activation
from fastconv.typing import Array

# The number by which a kernel knows an activation, and the activation's parameters. Where there is None of them,
# kernels are compiled without: the functions take as long as a fifth of all else.
Code = tuple[int, float, float]

_NAMES = ("relu", "clip", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish", "gelu")
_ROOT_HALF = math.sqrt(0.5)
# Below, exp(x) and the normal distribution of x are 0.
_FAR = -1000.0


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
    zero, half, one, two = v.dtype.type(0), v.dtype.type(0.5), v.dtype.type(1), v.dtype.type(2)
    three, six, root_half = v.dtype.type(3), v.dtype.type(6), v.dtype.type(_ROOT_HALF)
    far = v.dtype.type(_FAR)
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
        # As accurate as math.tanh, in half the time.
        for i in range(start, stop):
            e = math.expm1(-two * abs(v[i]))
            v[i] = math.copysign(e / (e + two), v[i])
    elif kind == 6:
        for i in range(start, stop):
            # Where the second factor is 0 the first is limited, so that -infinity gives the limit 0; so below.
            x = far if v[i] < far else v[i]
            v[i] = x * (one / (one + math.exp(-v[i])))
    elif kind == 7:
        for i in range(start, stop):
            x = -three if v[i] < -three else v[i]
            low = x + three
            v[i] = x * ((six if low > six else low) / six)
    else:
        for i in range(start, stop):
            x = far if v[i] < far else v[i]
            v[i] = x * (half * math.erfc(-x * root_half))
