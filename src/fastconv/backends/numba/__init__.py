"""The numba backend: loops compiled at the first call, in parallel, kept on disk.

Every primitive is a function of one of the files here, which says how it works; `parallel.py` shares its
items among threads, `compile.py` compiles it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from fastconv.backends.numba import weights
from fastconv.backends.numba.conv import conv
from fastconv.backends.numba.deform import deform_conv
from fastconv.backends.numba.explain import explain
from fastconv.backends.numba.fold import fold
from fastconv.backends.numba.grad_activation import activation_gradient
from fastconv.backends.numba.grad_deform import deform_conv_gradient
from fastconv.backends.numba.grad_norm import local_response_norm_gradient
from fastconv.backends.numba.grad_pad import pad_gradient
from fastconv.backends.numba.grad_pool import pool_gradient
from fastconv.backends.numba.grad_weight import conv_weight_gradient
from fastconv.backends.numba.move import pad, unfold
from fastconv.backends.numba.norm import local_response_norm
from fastconv.backends.numba.pool import pool
from fastconv.backends.numba.resample import resample
from fastconv.backends.numba.scatter import gather, scatter, scatter_add
from fastconv.backends.numba.segments import segment_affine, segment_sums
from fastconv.backends.numba.softmax import softmax, softmax_gradient
from fastconv.backends.numba.sums import channel_sums
from fastconv.backends.protocol import NoShortcuts, Segments
from fastconv.problem.convolution import ConvProblem
from fastconv.problem.options import Activation
from fastconv.problem.pooling import PoolProblem
from fastconv.typing import Array, Layout


class NumbaBackend(NoShortcuts):
    name = "numba"

    def algorithms(self) -> tuple[str, ...]:
        return ("direct",)

    def algorithm(self, problem: ConvProblem) -> str:
        return "direct"

    def candidates(self, problem: ConvProblem) -> tuple[str, ...]:
        return ("direct",)

    def explain(self, problem: ConvProblem) -> str:
        return explain(problem)

    def weight_form(self, problem: ConvProblem) -> Hashable:
        return weights.form(problem)

    def prepare(self, problem: ConvProblem, weight: Array, once: bool = False) -> tuple[Array, ...]:
        return weights.pack(problem, weight)

    def conv(
        self,
        problem: ConvProblem,
        x: Array,
        prepared: Any,
        bias: Array | None,
        residual: Array | None,
        activation: Activation | None,
        out: Array,
    ) -> None:
        conv(problem, x, prepared, bias, residual, activation, out)

    def deform_conv(
        self,
        problem: ConvProblem,
        x: Array,
        offset: Array,
        mask: Array | None,
        weight: Array,
        bias: Array | None,
        out: Array,
    ) -> None:
        deform_conv(problem, x, offset, mask, weight, bias, out)

    def unfold(self, problem: ConvProblem, x: Array, out: Array) -> None:
        unfold(problem, x, out)

    def fold(self, problem: ConvProblem, columns: Array, out: Array) -> None:
        fold(problem, columns, out)

    def pool(
        self, problem: PoolProblem, x: Array, out: Array, indices: Array | None, uniforms: Array | None
    ) -> None:
        pool(problem, x, out, indices, uniforms)

    def scatter(self, values: Array, indices: Array, layout: Layout, out: Array) -> None:
        scatter(values, indices, layout, out)

    def pad(self, x: Array, rows: Array, columns: Array, value: Any, layout: Layout, out: Array) -> None:
        pad(x, rows, columns, value, layout, out)

    def local_response_norm(
        self, x: Array, size: int, alpha: float, beta: float, k: float, layout: Layout, out: Array
    ) -> None:
        local_response_norm(x, size, alpha, beta, k, layout, out)

    def conv_weight_gradient(
        self, problem: ConvProblem, x: Array, grad_output: Array, out: Array, bias: Array | None
    ) -> None:
        conv_weight_gradient(problem, x, grad_output, out, bias)

    def channel_sums(self, x: Array, layout: Layout, out: Array) -> None:
        channel_sums(x, layout, out)

    def deform_conv_gradient(
        self,
        problem: ConvProblem,
        x: Array,
        offset: Array,
        mask: Array | None,
        weight: Array,
        grad_output: Array,
        grad_x: Array,
        grad_offset: Array,
        grad_weight: Array,
        grad_mask: Array | None,
    ) -> None:
        deform_conv_gradient(
            problem, x, offset, mask, weight, grad_output, grad_x, grad_offset, grad_weight, grad_mask
        )

    def pool_gradient(self, problem: PoolProblem, grad_output: Array, out: Array) -> None:
        pool_gradient(problem, grad_output, out)

    def scatter_add(self, values: Array, indices: Array, layout: Layout, out: Array) -> None:
        scatter_add(values, indices, layout, out)

    def gather(self, x: Array, indices: Array, layout: Layout, out: Array) -> None:
        gather(x, indices, layout, out)

    def pad_gradient(
        self, grad_output: Array, rows: Array, columns: Array, layout: Layout, out: Array
    ) -> None:
        pad_gradient(grad_output, rows, columns, layout, out)

    def local_response_norm_gradient(
        self,
        x: Array,
        grad_output: Array,
        size: int,
        alpha: float,
        beta: float,
        k: float,
        layout: Layout,
        out: Array,
    ) -> None:
        local_response_norm_gradient(x, grad_output, size, alpha, beta, k, layout, out)

    def activation_gradient(
        self, activation: Activation, grad_output: Array, value: Array, from_output: bool, out: Array
    ) -> None:
        activation_gradient(activation, grad_output, value, from_output, out)

    def softmax(self, x: Array, log: bool, out: Array) -> None:
        softmax(x, log, out)

    def softmax_gradient(self, grad_output: Array, output: Array, log: bool, out: Array) -> None:
        softmax_gradient(grad_output, output, log, out)

    def segment_sums(
        self, x: Array, other: Array | None, centre: Array, segments: Segments, out: Array
    ) -> None:
        segment_sums(x, other, centre, segments, out)

    def segment_affine(
        self,
        x: Array,
        centre: Array,
        scale: Array,
        shift: Array,
        other: Array | None,
        factor: Array | None,
        segments: Segments,
        out: Array,
    ) -> None:
        segment_affine(x, centre, scale, shift, other, factor, segments, out)

    def resample(self, x: Array, starts: Array, counts: Array, weights: Array, out: Array) -> None:
        resample(x, starts, counts, weights, out)


BACKEND = NumbaBackend()
