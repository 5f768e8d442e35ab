"""Runs a convolution or transposed convolution pass by pass; called by the backend."""

from __future__ import annotations

from typing import Any

from fastconv.backends.numba import parallel
from fastconv.backends.numba.channels import conv_channels
from fastconv.backends.numba.compile import kernel, optional, read, write
from fastconv.backends.numba.epilogue import Code, activation_code, finish
from fastconv.backends.numba.geometry import make_passes, nanoseconds
from fastconv.backends.numba.lines import clear, copy
from fastconv.backends.numba.nchw import conv_nchw, conv_thin
from fastconv.backends.numba.nhwc import conv_nhwc
from fastconv.backends.numba.passes import covers
from fastconv.backends.numba.phases import conv_phases
from fastconv.backends.numba.weights import method
from fastconv.problem.convolution import ConvProblem
from fastconv.problem.options import Activation
from fastconv.typing import Array


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
    code = None if activation is None else activation_code(activation)
    epilogue = optional(bias, x.dtype), optional(residual, x.dtype), code, write(out)
    if method(problem) == "phases":
        conv_phases(problem, x, weights[0], *epilogue)
        return
    if not covers(problem):
        _fill_all(problem, *epilogue)
    # All take the same arguments.
    kernels: dict[str, Any] = {"channels": conv_channels, "thin": conv_thin}
    compute = kernels.get(method(problem), conv_nhwc if problem.channels_last else conv_nchw)
    for p in make_passes(problem, parallel.threads_for(nanoseconds(problem))):
        tables = p.slot_rows, p.columns, p.a_rows, p.a_taps, p.b_taps
        parallel.run(
            compute, p.items, p.nanoseconds, read(x), weights[p.weights], *epilogue, p.geometry, *tables
        )  # fmt: skip


def _fill_all(
    problem: ConvProblem, bias: Array, residual: Array, activation: Code | None, out: Array
) -> None:
    """Give every result the value that those have which no tap meets; the others are overwritten."""
    channels = problem.result_channels
    pixels = out.size // (problem.batch * channels)
    if not problem.channels_last:
        lines, length, planes = problem.batch * channels, pixels, channels
    else:
        lines, length, planes = problem.batch * pixels, channels, 0
    parallel.run(_fill, lines, out.size, bias, residual, activation, out, length, planes)


@kernel
def _fill(
    start: int,
    stop: int,
    bias: Array,
    residual: Array,
    activation: Code | None,
    out: Array,
    length: int,
    planes: int,
) -> None:
    """An item is a plane of one of `planes` channels, or with ``planes=0`` a pixel."""
    for line in range(start, stop):
        at = line * length
        if bias.size == 0:
            clear(out, at, at + length)
        elif planes == 0:
            copy(bias, 0, 1, length, out, at)
        else:
            out[at : at + length] = bias[line % planes]
        finish(out, at, length, residual, activation, out, at, 1)
