"""The reference backend: NumPy alone, whole-array operations, short enough to read in one sitting.

Both layouts are views of (N, C, H, W) here; loops run over the taps of a kernel or window, never over pixels.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeVar

import numpy as np

from fastconv.backends.numpy import convolution, deform, gradients, normalise
from fastconv.backends.numpy.activations import apply, apply_slope
from fastconv.backends.numpy.geometry import channels_first, fill, flat_planes, neighbour_sums, sights
from fastconv.backends.numpy.pooling import pool
from fastconv.backends.numpy.resample import resample
from fastconv.backends.numpy.sums import Sums, column_sums
from fastconv.backends.protocol import NoShortcuts, Segments
from fastconv.pieces import pieces
from fastconv.problem.convolution import ConvProblem
from fastconv.problem.layout import channels_last
from fastconv.problem.options import Activation
from fastconv.problem.pooling import PoolProblem
from fastconv.typing import Array, Layout

B = TypeVar("B")


def _without_warnings(backend: type[B]) -> type[B]:
    """What is too large becomes infinite, and infinities NaN, without a word, as in the other backends."""
    for name, member in list(vars(backend).items()):
        if callable(member) and not name.startswith("_"):
            setattr(backend, name, np.errstate(all="ignore")(member))
    return backend


@_without_warnings
class NumpyBackend(NoShortcuts):
    name = "numpy"

    def algorithms(self) -> tuple[str, ...]:
        return ("direct",)

    def algorithm(self, problem: ConvProblem) -> str:
        return "direct"

    def candidates(self, problem: ConvProblem) -> tuple[str, ...]:
        return ("direct",)

    def explain(self, problem: ConvProblem) -> str:
        return (
            f"numpy backend: direct, as BLAS matrix products of some taps at a time\nFLOPs: {problem.flops:,}"
        )

    def weight_form(self, problem: ConvProblem) -> Hashable:
        return "grouped"

    def prepare(self, problem: ConvProblem, weight: Array, once: bool = False) -> Array:
        """The weights as (groups, filters per group, taps, channels per group)."""
        taps = problem.kernel[0] * problem.kernel[1]
        if problem.channels_last:
            by_filter = weight.transpose(3, 0, 1, 2)
        else:
            by_filter = np.ascontiguousarray(weight.transpose(0, 2, 3, 1))
        return by_filter.reshape(problem.groups, problem.filters // problem.groups, taps, -1)

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
        compute = convolution.conv_transpose if problem.transposed else convolution.conv
        image, target = channels_first(x, problem.layout), channels_first(out, problem.layout)
        added = [] if bias is None else [np.broadcast_to(bias[:, np.newaxis, np.newaxis], target.shape)]
        if residual is not None:
            added.append(channels_first(residual, problem.layout))

        def finish(y: Array, *more: Array) -> Array:
            for values in more:
                y = y + values
            return y if activation is None else apply(activation, y)

        for own in pieces(max(x.size, out.size), problem.batch):
            compute(problem, image[own], prepared, target[own])
            if added or activation is not None:
                fill(target[own], finish, target[own], *(a[own] for a in added))

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

    def pad(self, x: Array, rows: Array, columns: Array, value: Any, layout: Layout, out: Array) -> None:
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
        result = convolution.conv_weight_gradient(problem, image, slopes)
        result = result.reshape(problem.filters, *problem.kernel, -1)
        out[...] = result.transpose(1, 2, 3, 0) if problem.channels_last else result.transpose(0, 3, 1, 2)
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


BACKEND = NumpyBackend()
