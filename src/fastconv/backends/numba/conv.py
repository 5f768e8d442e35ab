"""Runs a convolution or transposed convolution pass by pass; called by the backend."""

from __future__ import annotations

from typing import Any

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import Array, kernel, optional, read, write
from fastconv.backends.numba.epilogue import activation_code, finish
from fastconv.backends.numba.geometry import make_passes
from fastconv.backends.numba.nchw import conv_nchw
from fastconv.backends.numba.nhwc import conv_nhwc
from fastconv.backends.numba.passes import covers
from fastconv.options import Activation
from fastconv.problem import ConvProblem


def conv(
    problem: ConvProblem,
    x: Array,
    weights: tuple[Array, ...],
    bias: Array | None,
    residual: Array | None,
    activation: Activation | None,
    out: Array,
) -> None:
    """`weights` are those that `weights.pack` made for each pass."""
    flat_bias, flat_residual = optional(bias, x.dtype), optional(residual, x.dtype)
    code, result = activation_code(activation), write(out)
    if not covers(problem):
        _fill_untouched(problem, flat_bias, flat_residual, code, result)
    compute = conv_nchw if problem.layout == "NCHW" else conv_nhwc
    for p in make_passes(problem, parallel.threads_for(problem.flops)):
        g = p.geometry
        work = g.batch * g.rows * g.columns * g.groups * g.outer * p.a_taps.size
        parallel.run(
            compute, p.items, work, read(x), weights[p.index], flat_bias, flat_residual, code, result,
            g, p.slot_rows, p.columns, p.a_rows, p.a_taps, p.b_taps,
        )  # fmt: skip


def _fill_untouched(
    problem: ConvProblem, bias: Array, residual: Array, activation: tuple[int, float, float], out: Array
) -> None:
    """Give all results the value that those have which no tap meets."""
    channels = problem.channels
    plane = out.size // (problem.batch * channels)
    first = problem.layout == "NCHW"
    lines, length = (problem.batch * channels, plane) if first else (problem.batch * plane, channels)
    parallel.run(_fill, lines, out.size, bias, residual, activation, out, length, channels if first else 0)


@kernel
def _fill(
    start: int, stop: int, bias: Any, residual: Any, activation: tuple[int, float, float], out: Any, length: int, planes: int
) -> None:
    """Lines of `length`: planes of a channel each, or with ``planes=0`` pixels."""
    for line in range(start, stop):
        at = line * length
        values = out[at : at + length]
        values[:] = 0
        if bias.size > 0 and planes > 0:
            values[:] = bias[line % planes]
        elif bias.size > 0:
            values[:] = bias
        finish(values, residual[at : at + length], activation, values, 1)
