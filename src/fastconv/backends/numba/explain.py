"""Says in words how a convolution is done; called by plans through the backend."""

from __future__ import annotations

import math

from fastconv.backends.numba import parallel
from fastconv.backends.numba.gemm import CHANNEL_ROWS, THIN_VECTORS, TILE_ROWS, TILE_VECTORS
from fastconv.backends.numba.geometry import nanoseconds
from fastconv.backends.numba.passes import axis_passes
from fastconv.backends.numba.simd import VECTOR_BYTES, lanes
from fastconv.backends.numba.weights import channel_counts, method
from fastconv.problem.convolution import ConvProblem


def explain(problem: ConvProblem) -> str:
    vector = lanes(problem.dtype)
    wide, filters = TILE_VECTORS * vector, channel_counts(problem)[1]
    how = {
        ("tile", "NCHW"): f"tiles of {TILE_ROWS} filters x {wide} pixels",
        ("tile", "NHWC"): f"tiles of {TILE_ROWS} pixels x {wide} filters",
        ("thin", "NCHW"): f"1 filter x {THIN_VECTORS * vector} pixels, as a group has only {filters}",
        ("channels", "NHWC"): f"{CHANNEL_ROWS} pixels x {vector} channels, as a group has only {filters}",
    }.get((method(problem), problem.layout), "result by result, as each meets few taps")
    threads = parallel.threads_for(nanoseconds(problem))
    passes = 1
    if method(problem) != "phases":
        passes = math.prod(sum(a is not None for a in axis_passes(problem, axis)) for axis in (0, 1))
    moved = (math.prod(problem.input_shape) + math.prod(problem.output_shape)) * problem.dtype.itemsize
    return (
        f"numba backend: direct, {how}; {passes} pass{'' if passes == 1 else 'es'}\n"
        f"vectors: {8 * VECTOR_BYTES} bits; threads: {threads}\n"
        f"FLOPs: {problem.flops:,}; bytes of images moved: {moved:,}"
    )
