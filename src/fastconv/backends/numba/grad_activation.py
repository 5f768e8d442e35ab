"""Gradient of activations; called by the backend."""

from __future__ import annotations

import math
from typing import Any

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import device, kernel, read, unsigned, write
from fastconv.backends.numba.epilogue import Code, activation_code
from fastconv.problem.options import Activation
from fastconv.typing import Array

_ROOT_HALF = math.sqrt(0.5)
_ROOT_TAU = math.sqrt(2 * math.pi)
# Beyond, exp(-x) and the normal density of x are 0.
_FAR = 1000.0


def activation_gradient(
    activation: Activation, grad_output: Array, value: Array, from_output: bool, out: Array
) -> None:
    """`grad_output` times the slope at `value`, which is the activation's output, or else its input."""
    code = activation_code(activation)
    work = out.size * (1 if code[0] <= 3 else 10)
    parallel.run(
        _multiply, out.size, work, read(grad_output), read(value), code, int(from_output), write(out)
    )


@kernel
def _multiply(
    start: int, stop: int, grad: Array, value: Array, activation: Code, from_output: int, out: Array
) -> None:
    """An item is an element. Where the slope is a constant 0 so is the result, whatever the gradient."""
    first, last = unsigned(start), unsigned(stop)
    kind, a, b = activation[0], out.dtype.type(activation[1]), out.dtype.type(activation[2])
    zero, half, one, two = out.dtype.type(0), out.dtype.type(0.5), out.dtype.type(1), out.dtype.type(2)
    four, far = out.dtype.type(4), out.dtype.type(_FAR)
    three, root_half, root_tau = out.dtype.type(3), out.dtype.type(_ROOT_HALF), out.dtype.type(_ROOT_TAU)
    if kind == 1:
        for i in range(first, last):
            out[i] = zero if value[i] <= zero else grad[i]
    elif kind == 2:
        for i in range(first, last):
            # Not `or`, which would be a branch.
            out[i] = zero if (value[i] <= a) | (value[i] >= b) else grad[i]
    elif kind == 3:
        for i in range(first, last):
            out[i] = grad[i] if value[i] > zero else a * grad[i]
    elif kind == 4:
        for i in range(first, last):
            # From the input e / (1 + e)**2, which keeps its digits where it is small; tanh below is alike.
            e = math.exp(-abs(value[i]))
            inverse = one / (one + e)
            slope = value[i] * (one - value[i]) if from_output == 1 else e * inverse * inverse
            out[i] = grad[i] * slope
    elif kind == 5:
        for i in range(first, last):
            e = math.exp(-two * abs(value[i]))
            inverse = one / (one + e)
            slope = one - value[i] * value[i] if from_output == 1 else four * e * inverse * inverse
            out[i] = grad[i] * slope
    elif kind == 6:
        for i in range(first, last):
            # s + x * s', which is 1 or 0 far out.
            e = math.exp(-abs(value[i]))
            inverse = one / (one + e)
            above = e if value[i] < zero else one
            out[i] = grad[i] * (inverse * (above + _limited(value[i], far) * (e * inverse)))
    elif kind == 7:
        for i in range(first, last):
            inner = grad[i] * (value[i] / three + half)
            below = grad[i] if value[i] >= three else inner
            out[i] = zero if value[i] <= -three else below
    else:
        for i in range(first, last):
            x = _limited(value[i], far)
            density = math.exp(-half * x * x) / root_tau
            out[i] = grad[i] * (half * math.erfc(-x * root_half) + x * density)


@device
def _limited(x: Any, most: Any) -> Any:
    """Keeps NaN; a product with what vanishes far out is then 0 there, not NaN."""
    above = most if x > most else x
    return -most if above < -most else above
