"""The reference backend: NumPy alone, whole-array operations, short enough to read in one sitting.

Both layouts are views of (N, C, H, W) here; loops run over the taps of a kernel or window, never over pixels.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from fastconv.backends.numpy import deform, gradients
from fastconv.backends.numpy.activations import apply, apply_slope
from fastconv.backends.numpy.geometry import (
    channels_first,
    flat_planes,
    neighbour_sums,
    pieces,
    sights,
)
from fastconv.backends.numpy.pooling import pool
from fastconv.backends.numpy.product import product
from fastconv.backends.numpy.sums import Sums, column_sums
from fastconv.backends.protocol import NoShortcuts
from fastconv.problem.convolution import ConvProblem
from fastconv.problem.layout import channels_last
from fastconv.problem.options import Activation
from fastconv.problem.pooling import PoolProblem
from fastconv.typing import Array, Layout


class NumpyBackend(NoShortcuts):
    name = "numpy"

    def algorithms(self) -> tuple[str, ...]:
        return ("direct",)

    def algorithm(self, problem: ConvProblem) -> str:
        return "direct"

    def candidates(self, problem: ConvProblem) -> tuple[str, ...]:
        return ("direct",)

    def explain(self, problem: ConvProblem) -> str:
        return f"numpy backend: direct, one BLAS matrix product for each of the kernel's taps\nFLOPs: {problem.flops:,}"

    def weight_form(self, problem: ConvProblem) -> Hashable:
        return "grouped"

    def prepare(self, problem: ConvProblem, weight: Array, once: bool = False) -> Array:
        """The weights as (groups, filters per group, channels per group, kH, kW)."""
        if problem.channels_last:
            weight = weight.transpose(3, 2, 0, 1)
        return weight.reshape(problem.groups, -1, *weight.shape[1:])

    def conv(
        self,
        problem: ConvProblem,
        x: Array,
        prepared: Array,
        bias: Array | None,
        residual: Array | None,
        activation: Activation | None,
        out: Array,
    ) -> None:
        compute = _conv_transpose if problem.transposed else _conv
        image, target = channels_first(x, problem.layout), channels_first(out, problem.layout)
        for own in pieces(problem.batch, max(x.size, out.size)):
            y = compute(image[own], prepared, problem)
            if bias is not None:
                y += bias[:, np.newaxis, np.newaxis]
            if residual is not None:
                y += channels_first(residual, problem.layout)[own]
            target[own] = y if activation is None else apply(activation, y)

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
        for own in pieces(problem.batch, x.size * problem.kernel[0] * problem.kernel[1]):
            out[own] = deform.forward(
                problem, x[own], offset[own], None if mask is None else mask[own], weight
            )
        if bias is not None:
            out += bias[:, np.newaxis, np.newaxis]

    def unfold(self, problem: ConvProblem, x: Array, out: Array) -> None:
        columns = out.reshape(*x.shape[:2], *problem.kernel, *problem.out_size)
        elements = out.reshape(-1)
        for own in pieces(out.size, out.size):
            elements[own] = 0
        for tap, outputs, pixels in sights(problem):
            columns[:, :, *tap, *outputs] = x[:, :, *pixels]

    def fold(self, problem: ConvProblem, columns: Array, out: Array) -> None:
        columns = columns.reshape(*out.shape[:2], *problem.kernel, *problem.out_size)
        sums = Sums(out.shape, out.dtype)
        for tap, outputs, pixels in sights(problem):
            sums.part()[:, :, *pixels] += columns[:, :, *tap, *outputs]
        out[...] = sums.result()

    def pool(
        self, problem: PoolProblem, x: Array, out: Array, indices: Array | None, uniforms: Array | None
    ) -> None:
        source, target = channels_first(x, problem.layout), channels_first(out, problem.layout)
        at, samples = (None if a is None else channels_first(a, problem.layout) for a in (indices, uniforms))
        shared = not (problem.rows.own or problem.columns.own)  # windows that all planes have in common
        for own in pieces(len(x), x.size) if shared else [slice(None)]:
            own_at, own_samples = (None if a is None else a[own] for a in (at, samples))
            pool(problem, source[own], target[own], own_at, own_samples)

    def scatter(self, values: Array, indices: Array, layout: Layout, out: Array) -> None:
        flat = flat_planes(np.zeros_like(out), layout)
        np.put_along_axis(flat, flat_planes(indices, layout), flat_planes(values, layout), axis=2)
        view = channels_first(out, layout)
        view[...] = flat.reshape(view.shape)

    def pad(self, x: Array, rows: Array, columns: Array, value: float, layout: Layout, out: Array) -> None:
        source, target = channels_first(x, layout), channels_first(out, layout)
        target[...] = source[:, :, rows[:, np.newaxis], columns]
        if (rows < 0).any() or (columns < 0).any():
            target[:, :, rows < 0] = value
            target[:, :, :, columns < 0] = value

    def local_response_norm(
        self, x: Array, size: int, alpha: float, beta: float, k: float, layout: Layout, out: Array
    ) -> None:
        source, target = channels_first(x, layout), channels_first(out, layout)
        for own in pieces(len(x), x.size):
            energy = neighbour_sums(np.square(source[own]), size // 2, (size - 1) // 2)
            target[own] = source[own] / (k + alpha / size * energy) ** beta

    def conv_weight_gradient(
        self, problem: ConvProblem, x: Array, grad_output: Array, out: Array, bias: Array | None
    ) -> None:
        image, slopes = (channels_first(a, problem.layout) for a in (x, grad_output))
        result = gradients.conv_weight(problem, image, slopes)
        out[...] = result.transpose(2, 3, 1, 0) if problem.channels_last else result
        if bias is not None:
            self.channel_sums(grad_output, problem.layout, bias)

    def channel_sums(self, x: Array, layout: Layout, out: Array) -> None:
        out[...] = column_sums(
            x.reshape(-1, x.shape[3]) if channels_last(layout) else x.sum((2, 3), dtype=np.float64)
        )

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
        total = np.zeros(weight.shape)
        for own in pieces(problem.batch, x.size * problem.kernel[0] * problem.kernel[1]):
            own_mask, own_grad_mask = (None if a is None else a[own] for a in (mask, grad_mask))
            total += deform.gradient(
                problem, x[own], offset[own], own_mask, weight, grad_output[own], grad_x[own], grad_offset[own],
                own_grad_mask,
            )  # fmt: skip
        grad_weight[...] = total

    def pool_gradient(self, problem: PoolProblem, grad_output: Array, out: Array) -> None:
        source, target = (channels_first(a, problem.layout) for a in (grad_output, out))
        for own in pieces(len(out), out.size):
            gradients.pool(problem, source[own], target[own])

    def scatter_add(self, values: Array, indices: Array, layout: Layout, out: Array) -> None:
        gradients.scatter_add(values, indices, layout, out)

    def gather(self, x: Array, indices: Array, layout: Layout, out: Array) -> None:
        gradients.gather(x, indices, layout, out)

    def pad_gradient(
        self, grad_output: Array, rows: Array, columns: Array, layout: Layout, out: Array
    ) -> None:
        gradients.pad(channels_first(grad_output, layout), rows, columns, channels_first(out, layout))

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
        image, slopes, target = (channels_first(a, layout) for a in (x, grad_output, out))
        for own in pieces(len(x), x.size):
            target[own] = gradients.local_response_norm(image[own], slopes[own], size, alpha, beta, k)

    def activation_gradient(
        self, activation: Activation, grad_output: Array, value: Array, from_output: bool, out: Array
    ) -> None:
        out[...] = apply_slope(activation, grad_output, value, from_output)


def _conv(x: Array, weight: Array, problem: ConvProblem) -> Array:
    """(N, K, oH, oW): the sum over taps of a matrix product over channels."""
    image = x.reshape(len(x), problem.groups, -1, *problem.size)
    y = np.zeros((len(x), problem.groups, weight.shape[1], *problem.out_size), x.dtype)
    for tap, outputs, pixels in sights(problem):
        y[..., *outputs] += _products(weight[..., *tap], image[..., *pixels])
    return y.reshape(len(x), problem.filters, *problem.out_size)


def _conv_transpose(x: Array, weight: Array, problem: ConvProblem) -> Array:
    """(N, C, H, W): every tap adds its share to the pixels that it would see in the convolution."""
    source = x.reshape(len(x), problem.groups, -1, *problem.out_size)
    y = np.zeros((len(x), problem.groups, weight.shape[2], *problem.size), x.dtype)
    for tap, outputs, pixels in sights(problem):
        y[..., *pixels] += _products(weight[..., *tap].swapaxes(1, 2), source[..., *outputs])
    return y.reshape(len(x), problem.channels, *problem.size)


def _products(matrices: Array, image: Array) -> Array:
    """The matrix of each group times its pixels, (N, groups, channels, H, W)."""
    products = product(matrices, image.reshape(*image.shape[:3], -1))
    return products.reshape(*products.shape[:3], *image.shape[3:])


BACKEND = NumpyBackend()
