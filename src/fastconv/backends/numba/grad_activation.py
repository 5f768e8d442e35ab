"""Gradient of activations; called by the backend."""

from __future__ import annotations

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.activations import gelu_slope, sigmoid_slope, silu_slope, tanh_slope
from fastconv.backends.numba.compile import kernel, read, unsigned, write
from fastconv.backends.numba.epilogue import Code, activation_code
from fastconv.problem.options import Activation
from fastconv.typing import Array


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
    zero, one, two = out.dtype.type(0), out.dtype.type(1), out.dtype.type(2)
    three, six = out.dtype.type(3), out.dtype.type(6)
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
            if from_output == 1:
                out[i] = grad[i] * (value[i] * (one - value[i]))
            else:
                out[i] = grad[i] * out.dtype.type(sigmoid_slope(np.float64(value[i])))
    elif kind == 5:
        for i in range(first, last):
            if from_output == 1:
                out[i] = grad[i] * ((one - value[i]) * (one + value[i]))
            else:
                out[i] = grad[i] * out.dtype.type(tanh_slope(np.float64(value[i])))
    elif kind == 6:
        for i in range(first, last):
            out[i] = grad[i] * out.dtype.type(silu_slope(np.float64(value[i])))
    elif kind == 7:
        for i in range(first, last):
            inner = grad[i] * ((two * value[i] + three) / six)
            below = grad[i] if value[i] >= three else inner
            out[i] = zero if value[i] <= -three else below
    else:
        for i in range(first, last):
            out[i] = grad[i] * out.dtype.type(gelu_slope(np.float64(value[i])))
