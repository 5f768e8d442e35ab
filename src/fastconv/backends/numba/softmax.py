"""Softmax along an axis, and its gradient; called by the backend."""

from __future__ import annotations

import math

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear
from fastconv.backends.numba.totals import settle_every, take_all
from fastconv.typing import Array

# Rows side by side, at most.
_BLOCK = 128


def softmax(x: Array, log: bool, out: Array) -> None:
    """Along the second axis of (outer, count, inner), or its logarithm."""
    outer, count, inner = x.shape
    blocks = -(-inner // _BLOCK)
    parallel.run(_softmax, outer * blocks, 6 * x.size, read(x), write(out), count, inner, blocks, int(log))


def softmax_gradient(grad_output: Array, output: Array, log: bool, out: Array) -> None:
    """The gradient of `softmax`, from its output."""
    outer, count, inner = out.shape
    blocks = -(-inner // _BLOCK)
    arguments = read(grad_output), read(output), write(out), count, inner, blocks, int(log)
    parallel.run(_gradient, outer * blocks, 4 * out.size, *arguments)


@kernel
def _softmax(
    start: int, stop: int, x: Array, out: Array, count: int, inner: int, blocks: int, log: int
) -> None:
    """An item is a block of rows side by side."""
    most, sums = np.empty(_BLOCK, x.dtype), np.empty(_BLOCK, x.dtype)
    totals, rests = np.empty(_BLOCK, x.dtype), np.empty(_BLOCK, x.dtype)
    for item in range(start, stop):
        first = item % blocks * _BLOCK
        origin, width = item // blocks * count * inner + first, min(_BLOCK, inner - first)
        for i in range(width):
            most[i] = x[origin + i]
        for c in range(1, count):
            at = unsigned(origin + c * inner)
            for i in range(unsigned(width)):
                value = x[at + i]
                if value > most[i] or value != value:
                    most[i] = value
        clear(sums, 0, width)
        for c in range(count):
            settle_every(c, sums, width, totals, rests)
            at = unsigned(origin + c * inner)
            for i in range(unsigned(width)):
                power = math.exp(x[at + i] - most[i])
                sums[i] += power
                out[at + i] = x[at + i] - most[i] if log == 1 else power
        take_all(count, sums, width, totals, rests)
        if log == 1:
            for i in range(width):
                sums[i] = math.log(sums[i])
        for c in range(count):
            at = unsigned(origin + c * inner)
            for i in range(unsigned(width)):
                out[at + i] = out[at + i] - sums[i] if log == 1 else out[at + i] / sums[i]


@kernel
def _gradient(
    start: int, stop: int, grad: Array, y: Array, out: Array, count: int, inner: int, blocks: int, log: int
) -> None:
    """An item is a block of rows side by side."""
    sums, totals, rests = np.empty(_BLOCK, y.dtype), np.empty(_BLOCK, y.dtype), np.empty(_BLOCK, y.dtype)
    for item in range(start, stop):
        first = item % blocks * _BLOCK
        origin, width = item // blocks * count * inner + first, min(_BLOCK, inner - first)
        clear(sums, 0, width)
        for c in range(count):
            settle_every(c, sums, width, totals, rests)
            at = unsigned(origin + c * inner)
            for i in range(unsigned(width)):
                sums[i] += grad[at + i] if log == 1 else grad[at + i] * y[at + i]
        take_all(count, sums, width, totals, rests)
        for c in range(count):
            at = unsigned(origin + c * inner)
            for i in range(unsigned(width)):
                if log == 1:
                    out[at + i] = grad[at + i] - math.exp(y[at + i]) * sums[i]
                else:
                    out[at + i] = y[at + i] * (grad[at + i] - sums[i])
