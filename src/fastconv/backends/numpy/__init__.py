"""The reference backend: NumPy alone, whole-array operations, short enough to read in one sitting.

Both layouts are views of (N, C, H, W) here; loops run over the taps of a kernel or window, never over pixels.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from fastconv.backends.numpy import deform, gradients, normalise
from fastconv.backends.numpy.activations import apply, apply_slope
from fastconv.backends.numpy.geometry import (
    channels_first,
    fill,
    flat_planes,
    neighbour_sums,
    pieces,
    sights,
)
from fastconv.backends.numpy.pooling import pool
from fastconv.backends.numpy.product import product
from fastconv.backends.numpy.resample import resample
from fastconv.backends.numpy.sums import Sums, column_sums
from fastconv.backends.protocol import NoShortcuts, Segments
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
        added = [] if bias is None else [np.broadcast_to(bias[:, np.newaxis, np.newaxis], target.shape)]
        if residual is not None:
            added.append(channels_first(residual, problem.layout))

        def finish(y: Array, *more: Array) -> Array:
            for values in more:
                y = y + values
            return y if activation is None else apply(activation, y)

        for own in pieces(max(x.size, out.size), problem.batch):
            fill(target[own], finish, compute(image[own], prepared, problem), *(a[own] for a in added))

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
        deform.forward(problem, x, offset, mask, weight, out)
        if bias is not None:
            fill(out, np.add, out, bias[:, np.newaxis, np.newaxis])

    def unfold(self, problem: ConvProblem, x: Array, out: Array) -> None:
        columns = out.reshape(*x.shape[:2], *problem.kernel, *problem.out_size)
        fill(out, np.zeros_like, out)
        for tap, outputs, pixels in sights(problem, out.size // (problem.kernel[0] * problem.kernel[1])):
            columns[:, :, *tap, *outputs] = x[:, :, *pixels]

    def fold(self, problem: ConvProblem, columns: Array, out: Array) -> None:
        columns = columns.reshape(*out.shape[:2], *problem.kernel, *problem.out_size)
        for own in pieces(max(out.size, columns[:, :, 0, 0].size), *out.shape[:2]):
            sums = Sums(out[own].shape, out.dtype)
            for tap, outputs, pixels in sights(problem):
                sums.part()[:, :, *pixels] += columns[own][:, :, *tap, *outputs]
            out[own] = sums.result()

    def pool(
        self, problem: PoolProblem, x: Array, out: Array, indices: Array | None, uniforms: Array | None
    ) -> None:
        source, target = channels_first(x, problem.layout), channels_first(out, problem.layout)
        at, samples = (None if a is None else channels_first(a, problem.layout) for a in (indices, uniforms))
        pool(problem, source, target, at, samples)

    def scatter(self, values: Array, indices: Array, layout: Layout, out: Array) -> None:
        source, at, target = (channels_first(a, layout) for a in (values, indices, out))
        for planes in pieces(max(source.size, target.size), *target.shape[:2]):
            flat = np.zeros((*target[planes].shape[:2], target.shape[2] * target.shape[3]), out.dtype)
            places, given = flat_planes(at[planes]), flat_planes(source[planes])
            for own in pieces(places.size, *places.shape):
                np.put_along_axis(flat[own[:2]], places[own], given[own], axis=2)
            target[planes] = flat.reshape(target[planes].shape)

    def pad(self, x: Array, rows: Array, columns: Array, value: float, layout: Layout, out: Array) -> None:
        source, target = channels_first(x, layout), channels_first(out, layout)
        batch, channels, height, width = target.shape
        for n, r, c, k in pieces(target.size, batch, height, width, channels):
            row, column = rows[r], columns[c]
            piece = source[n, k][:, :, row[:, np.newaxis], column]
            if (row < 0).any() or (column < 0).any():
                piece[:, :, row < 0] = value
                piece[:, :, :, column < 0] = value
            target[n, k, r, c] = piece

    def local_response_norm(
        self, x: Array, size: int, alpha: float, beta: float, k: float, layout: Layout, out: Array
    ) -> None:
        source, target = channels_first(x, layout), channels_first(out, layout)
        for n, h, w in pieces(x.size, len(x), *source.shape[2:]):
            own = source[n, :, h, w]
            energy = neighbour_sums(np.square(own), size // 2, (size - 1) // 2)
            target[n, :, h, w] = own / (k + alpha / size * energy) ** beta

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
        grad_weight[...] = deform.gradient(
            problem, x, offset, mask, weight, grad_output, grad_x, grad_offset, grad_mask
        )

    def pool_gradient(self, problem: PoolProblem, grad_output: Array, out: Array) -> None:
        source, target = (channels_first(a, problem.layout) for a in (grad_output, out))
        gradients.pool(problem, source, target)

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
        for n, h, w in pieces(x.size, len(x), *image.shape[2:]):
            target[n, :, h, w] = gradients.local_response_norm(
                image[n, :, h, w], slopes[n, :, h, w], size, alpha, beta, k
            )

    def activation_gradient(
        self, activation: Activation, grad_output: Array, value: Array, from_output: bool, out: Array
    ) -> None:
        fill(out, lambda g, v: apply_slope(activation, g, v, from_output), grad_output, value)

    def softmax(self, x: Array, log: bool, out: Array) -> None:
        normalise.softmax(x, log, out)

    def softmax_gradient(self, grad_output: Array, output: Array, log: bool, out: Array) -> None:
        normalise.softmax_gradient(grad_output, output, log, out)

    def segment_sums(
        self, x: Array, other: Array | None, centre: Array, segments: Segments, out: Array
    ) -> None:
        normalise.segment_sums(x, other, centre, segments, out)

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
        normalise.segment_affine(x, centre, scale, shift, other, factor, segments, out)

    def resample(self, x: Array, starts: Array, counts: Array, weights: Array, out: Array) -> None:
        resample(x, starts, counts, weights, out)


def _conv(x: Array, weight: Array, problem: ConvProblem) -> Array:
    """(N, K, oH, oW): the sum over taps of a matrix product over channels."""
    image = x.reshape(len(x), problem.groups, -1, *problem.size)
    y = np.zeros((len(x), problem.groups, weight.shape[1], *problem.out_size), x.dtype)
    for tap, outputs, pixels in sights(problem, max(x.size, y.size)):
        y[..., *outputs] += _products(weight[..., *tap], image[..., *pixels])
    return y.reshape(len(x), problem.filters, *problem.out_size)


def _conv_transpose(x: Array, weight: Array, problem: ConvProblem) -> Array:
    """(N, C, H, W): every tap adds its share to the pixels that it would see in the convolution."""
    source = x.reshape(len(x), problem.groups, -1, *problem.out_size)
    y = np.zeros((len(x), problem.groups, weight.shape[2], *problem.size), x.dtype)
    for tap, outputs, pixels in sights(problem, max(x.size, y.size)):
        y[..., *pixels] += _products(weight[..., *tap].swapaxes(1, 2), source[..., *outputs])
    return y.reshape(len(x), problem.channels, *problem.size)


def _products(matrices: Array, image: Array) -> Array:
    """The matrix of each group times its pixels, (N, groups, channels, H, W)."""
    products = product(matrices, image.reshape(*image.shape[:3], -1))
    return products.reshape(*products.shape[:3], *image.shape[3:])


BACKEND = NumpyBackend()
