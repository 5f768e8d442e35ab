"""Gradient of activations; called by the backend."""

from __future__ import annotations

import math

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import kernel, read, unsigned, write
from fastconv.backends.numba.epilogue import Code, activation_code
from fastconv.problem.options import Activation
from fastconv.typing import Array

_ROOT_HALF = math.sqrt(0.5)
_ROOT_TAU = math.sqrt(2 * math.pi)


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
            y = value[i] if from_output == 1 else one / (one + math.exp(-value[i]))
            out[i] = grad[i] * (y * (one - y))
    elif kind == 5:
        for i in range(first, last):
            y = value[i]
            if from_output == 0:
                # The sign has no say.
                e = math.expm1(-two * abs(y))
                y = e / (e + two)
            out[i] = grad[i] * (one - y * y)
    elif kind == 6:
        for i in range(first, last):
            y = one / (one + math.exp(-value[i]))
            out[i] = grad[i] * (y * (one + value[i] * (one - y)))
    elif kind == 7:
        for i in range(first, last):
            inner = grad[i] * (value[i] / three + half)
            # As PyTorch also where the value is NaN.
            above = inner if value[i] < three else grad[i]
            out[i] = zero if value[i] <= -three else above
    else:
        for i in range(first, last):
            density = math.exp(-half * value[i] * value[i]) / root_tau
            out[i] = grad[i] * (half * (one + math.erf(value[i] * root_half)) + value[i] * density)
