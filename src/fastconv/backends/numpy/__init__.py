"""The reference backend: NumPy alone, whole-array operations, short enough to read in one sitting.

Both layouts are views of (N, C, H, W) here; loops run over the taps of a kernel or window, never over pixels.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.backends import NoShortcuts
from fastconv.backends.numpy.activations import apply
from fastconv.backends.numpy.pooling import pool
from fastconv.options import Activation
from fastconv.problem import ConvProblem
from fastconv.windows import PoolProblem

Array = NDArray[Any]


def channels_first(array: Array, layout: str) -> Array:
    """A view of `array` as (N, C, H, W)."""
    return array if layout == "NCHW" else np.moveaxis(array, -1, 1)


class NumpyBackend(NoShortcuts):
    name = "numpy"

    def algorithms(self) -> tuple[str, ...]:
        return ("direct",)

    def explain(self, problem: ConvProblem) -> str:
        return (
            f"numpy backend: one BLAS matrix product for each of the kernel's taps\nFLOPs: {problem.flops:,}"
        )

    def weight_form(self, problem: ConvProblem) -> Hashable:
        return "grouped"

    def prepare(self, problem: ConvProblem, weight: Array, once: bool = False) -> Array:
        """The weights as (groups, filters per group, channels per group, kH, kW)."""
        if problem.layout == "NHWC":
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
        y = compute(problem, channels_first(x, problem.layout), prepared)
        if bias is not None:
            y += bias[:, np.newaxis, np.newaxis]
        if residual is not None:
            y += channels_first(residual, problem.layout)
        channels_first(out, problem.layout)[...] = y if activation is None else apply(activation, y)

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
        columns = _sample(problem, x, offset, mask)
        columns = columns.reshape(
            problem.batch, problem.groups, -1, problem.out_size[0] * problem.out_size[1]
        )
        out[...] = (weight.reshape(problem.groups, -1, columns.shape[2]) @ columns).reshape(out.shape)
        if bias is not None:
            out += bias[:, np.newaxis, np.newaxis]

    def unfold(self, problem: ConvProblem, x: Array, out: Array) -> None:
        columns = out.reshape(*x.shape[:2], *problem.kernel, *problem.out_size)
        padded = _padded(problem, x)
        for tap in np.ndindex(problem.kernel):
            columns[:, :, *tap] = _tap(problem, padded, tap)

    def fold(self, problem: ConvProblem, columns: Array, out: Array) -> None:
        columns = columns.reshape(*out.shape[:2], *problem.kernel, *problem.out_size)
        padded = _padded(problem, np.zeros_like(out))
        for tap in np.ndindex(problem.kernel):
            _tap(problem, padded, tap)[...] += columns[:, :, *tap]
        out[...] = _cropped(problem, padded)

    def pool(
        self, problem: PoolProblem, x: Array, out: Array, indices: Array | None, uniforms: Array | None
    ) -> None:
        source, target = channels_first(x, problem.layout), channels_first(out, problem.layout)
        at, samples = (None if a is None else channels_first(a, problem.layout) for a in (indices, uniforms))
        pool(problem, source, target, at, samples)

    def scatter(self, values: Array, indices: Array, layout: str, out: Array) -> None:
        flat = channels_first(np.zeros_like(out), layout).reshape(*_planes(values, layout), -1)
        source, at = (channels_first(a, layout).reshape(*flat.shape[:2], -1) for a in (values, indices))
        np.put_along_axis(flat, at, source, axis=2)
        view = channels_first(out, layout)
        view[...] = flat.reshape(view.shape)

    def pad(self, x: Array, rows: Array, columns: Array, value: float, layout: str, out: Array) -> None:
        source, target = channels_first(x, layout), channels_first(out, layout)
        target[...] = source[:, :, rows[:, np.newaxis], columns]
        if (rows < 0).any() or (columns < 0).any():
            target[:, :, rows < 0] = value
            target[:, :, :, columns < 0] = value

    def local_response_norm(
        self, x: Array, size: int, alpha: float, beta: float, k: float, layout: str, out: Array
    ) -> None:
        squares = np.square(channels_first(x, layout))
        channels = squares.shape[1]
        energy = np.zeros_like(squares)
        for shift in range(-(size // 2), (size - 1) // 2 + 1):
            low, high = max(0, -shift), min(channels, channels - shift)
            if low < high:
                energy[:, low:high] += squares[:, low + shift : high + shift]
        target = channels_first(out, layout)
        target[...] = channels_first(x, layout) / (k + alpha / size * energy) ** beta


def _planes(array: Array, layout: str) -> tuple[int, int]:
    return array.shape[0], array.shape[1 if layout == "NCHW" else 3]


def _padded(problem: ConvProblem, x: Array) -> Array:
    top, bottom, left, right = problem.padding
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right))) if any(problem.padding) else x


def _cropped(problem: ConvProblem, padded: Array) -> Array:
    top, _, left, _ = problem.padding
    return padded[:, :, top : top + problem.size[0], left : left + problem.size[1]]


def _tap(problem: ConvProblem, padded: Array, tap: tuple[int, ...]) -> Array:
    """View of the padded image's pixels that one tap of the kernel sees, one for each output pixel."""
    rows, columns = (
        slice(t * d, t * d + (o - 1) * s + 1, s)
        for t, d, s, o in zip(tap, problem.dilation, problem.stride, problem.out_size, strict=True)
    )
    return padded[:, :, rows, columns]


def _conv(problem: ConvProblem, x: Array, weight: Array) -> Array:
    """(N, K, oH, oW): the sum over taps of a matrix product over channels."""
    padded = _padded(problem, x)
    shape = problem.batch, problem.groups, -1, problem.out_size[0] * problem.out_size[1]
    y = np.zeros((*shape[:2], weight.shape[1], shape[3]), x.dtype)
    for tap in np.ndindex(problem.kernel):
        y += weight[..., *tap] @ _tap(problem, padded, tap).reshape(shape)
    return y.reshape(problem.batch, problem.filters, *problem.out_size)


def _conv_transpose(problem: ConvProblem, x: Array, weight: Array) -> Array:
    """(N, C, H, W): every tap adds its share to the pixels that it would see in the convolution."""
    top, bottom, left, right = problem.padding
    height, width = problem.size
    y = np.zeros((problem.batch, problem.channels, height + top + bottom, width + left + right), x.dtype)
    source = x.reshape(problem.batch, problem.groups, -1, problem.out_size[0] * problem.out_size[1])
    for tap in np.ndindex(problem.kernel):
        view = _tap(problem, y, tap)
        view += (weight[..., *tap].swapaxes(1, 2) @ source).reshape(view.shape)
    return _cropped(problem, y)


def _sample(problem: ConvProblem, x: Array, offset: Array, mask: Array | None) -> Array:
    """(N, C, kH, kW, oH, oW): the image at every tap's place, bilinear between pixels, 0 outside."""
    batch, channels, height, width = x.shape
    (kernel_h, kernel_w), out_size = problem.kernel, problem.out_size
    shifts = offset.reshape(batch, -1, kernel_h, kernel_w, 2, *out_size)
    grid = np.ix_(*(range(n) for n in (kernel_h, kernel_w, *out_size)))
    row = shifts[:, :, :, :, 0] + (
        grid[0] * problem.dilation[0] + grid[2] * problem.stride[0] - problem.padding[0]
    )
    column = shifts[:, :, :, :, 1] + (
        grid[1] * problem.dilation[1] + grid[3] * problem.stride[1] - problem.padding[2]
    )
    planes = x.reshape(batch, shifts.shape[1], -1, height, width)
    image, group, plane = np.ix_(*(range(n) for n in planes.shape[:3]))
    image, group, plane = (
        i[..., np.newaxis, np.newaxis, np.newaxis, np.newaxis] for i in (image, group, plane)
    )
    result = np.zeros((*planes.shape[:3], *row.shape[2:]), x.dtype)
    inside = (row > -1) & (row < height) & (column > -1) & (column < width)
    row, column = np.where(inside, row, 0), np.where(inside, column, 0)
    for corner_row, corner_column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        r, c = np.floor(row).astype(np.int64) + corner_row, np.floor(column).astype(np.int64) + corner_column
        weight = (1 - np.abs(row - r)) * (1 - np.abs(column - c))
        weight = np.where(inside & (r >= 0) & (r < height) & (c >= 0) & (c < width), weight, 0)
        r, c = np.clip(r, 0, height - 1), np.clip(c, 0, width - 1)
        result += (
            weight[:, :, np.newaxis] * planes[image, group, plane, r[:, :, np.newaxis], c[:, :, np.newaxis]]
        )
    if mask is not None:
        result *= mask.reshape(batch, -1, 1, kernel_h, kernel_w, *out_size)
    return result.reshape(batch, channels, kernel_h, kernel_w, *out_size)


BACKEND = NumpyBackend()
