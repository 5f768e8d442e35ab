"""Convolution, its transpose and the gradient of its weights as products of matrices; called by the backend.

Images are (groups, channels of a group, N, H, W) views here. What some taps of the kernel see from some outputs is
gathered as a matrix (im2col), of a piece of the outputs and of a few taps at a time. In memory it lies as the image
does, by channels or by pixels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastconv.backends.numpy.geometry import Sight, fill, sights_from
from fastconv.backends.numpy.product import product
from fastconv.pieces import pieces
from fastconv.problem.convolution import ConvProblem
from fastconv.typing import Array

# Taps at a time: products of few channels are long enough, too.
_TAPS = 16
# Elements that they see at a time: of fewer, BLAS packs the weights more often than they are worth.
_SEEN = 2**20


def conv(problem: ConvProblem, x: Array, weight: Array, out: Array) -> None:
    """Fill `out` (N, K, oH, oW); `weight` is (groups, filters, taps, channels)."""
    image, target, room = _by_group(problem, x), _by_group(problem, out), _Room(x.dtype)
    for own in _pieces(problem, len(x)):
        sums: Any = None
        for taps, sights in _runs(problem, own):
            seen = _gather(problem, image, own, sights, room)
            products = _product(problem, _flat_taps(weight[:, :, taps]), seen)
            sums = products if sums is None else np.add(sums, products, out=sums)
        piece = target[:, :, *own]
        piece[...] = 0 if sums is None else sums.reshape(piece.shape)


def conv_transpose(problem: ConvProblem, x: Array, weight: Array, out: Array) -> None:
    """Fill `out` (N, C, H, W): every tap adds its share to the pixels that it sees in the convolution."""
    sums = np.zeros_like(out)
    source, target = _by_group(problem, x), _by_group(problem, sums)
    for own in _pieces(problem, len(x)):
        given = source[:, :, *own]
        for taps, sights in _runs(problem, own):
            matrices = _flat_taps(weight[:, :, taps]).swapaxes(1, 2)
            shares = _product(problem, matrices, _flat_pixels(problem, given))
            by_tap = shares.reshape(problem.groups, len(sights), -1, *given.shape[2:])
            for i, (_, outputs, pixels) in enumerate(sights):
                target[:, :, own[0], *pixels] += by_tap[:, i, :, :, *outputs]
    fill(out, np.positive, sums)


def conv_weight_gradient(problem: ConvProblem, x: Array, grad_output: Array) -> Array:
    """(groups, filters, taps, channels), summed in float64."""
    image, slopes, room = _by_group(problem, x), _by_group(problem, grad_output), _Room(np.dtype(np.float64))
    result = np.zeros((*slopes.shape[:2], problem.kernel[0] * problem.kernel[1], image.shape[1]))
    for own in _pieces(problem, len(x)):
        given = _flat_pixels(problem, slopes[:, :, *own]).astype(np.float64)
        for taps, sights in _runs(problem, own):
            part = product(given, _gather(problem, image, own, sights, room).swapaxes(1, 2))
            result[:, :, taps] += part.reshape(*part.shape[:2], len(sights), -1)
    return result


class _Room:
    """Memory for an array of every piece: fresh pages cost more than what is written to them."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._memory = np.empty(0, dtype)

    def array(self, shape: tuple[int, ...]) -> Array:
        size = math.prod(shape)
        if self._memory.size < size:
            self._memory = np.empty(size, self.dtype)
        return self._memory[:size].reshape(shape)


def _by_group(problem: ConvProblem, image: Array) -> Array:
    """(N, channels, H, W) as (groups, channels of a group, N, H, W)."""
    grouped = image.reshape(len(image), problem.groups, -1, *image.shape[2:])
    return grouped.transpose(1, 2, 0, 3, 4)


def _pieces(problem: ConvProblem, batch: int) -> Iterator[tuple[slice, ...]]:
    """Pieces (images, rows, columns) of the outputs of a convolution, which are the operand of a transposed one."""
    taps = min(_TAPS, problem.kernel[0] * problem.kernel[1])
    pixels = batch * problem.out_size[0] * problem.out_size[1]
    elements = max(problem.channels * taps, problem.filters) * pixels
    return pieces(elements, batch, *problem.out_size, least=_SEEN)


def _runs(problem: ConvProblem, own: tuple[slice, ...]) -> Iterator[tuple[slice | list[int], list[Sight]]]:
    """Some of the taps that see the image from some outputs at a time: which these are, and what they see."""
    sights = sights_from(problem, own[1], own[2])
    while some := list(itertools.islice(sights, _TAPS)):
        taps = [row * problem.kernel[1] + column for (row, column), _, _ in some]
        neighbours = taps[-1] - taps[0] == len(taps) - 1
        yield slice(taps[0], taps[-1] + 1) if neighbours else taps, some


def _gather(
    problem: ConvProblem, image: Array, own: tuple[slice, ...], sights: list[Sight], room: _Room
) -> Array:
    """(groups, tap and channel, pixel): what taps see from some outputs, and 0 outside of the image."""
    image = image[:, :, own[0]]
    outputs = tuple(s.stop - s.start for s in own)
    whole = tuple(slice(0, n) for n in outputs[1:])
    if len(sights) == 1 and sights[0].outputs == whole and image.dtype == room.dtype:
        return _flat_pixels(problem, image[:, :, :, *sights[0].pixels])
    taps = problem.groups, len(sights), image.shape[1]
    if problem.channels_last:
        seen = room.array(outputs + taps).transpose(3, 4, 5, 0, 1, 2)
    else:
        seen = room.array(taps + outputs)
    for i, sight in enumerate(sights):
        if sight.outputs != whole:
            seen[:, i] = 0
        seen[:, i, :, :, *sight.outputs] = image[:, :, :, *sight.pixels]
    return _flat_pixels(problem, seen.reshape(problem.groups, -1, *outputs))


def _flat_pixels(problem: ConvProblem, image: Array) -> Array:
    """(groups, channels, N, H, W) as matrices (channel, pixel), copied only where memory has gaps."""
    if problem.channels_last:
        return image.transpose(2, 3, 4, 0, 1).reshape(-1, *image.shape[:2]).transpose(1, 2, 0)
    return image.reshape(*image.shape[:2], -1)


def _flat_taps(weight: Array) -> Array:
    """(groups, filters, taps, channels) as matrices (filter, tap and channel)."""
    return weight.reshape(*weight.shape[:2], -1)


def _product(problem: ConvProblem, matrices: Array, pixels: Array) -> Array:
    """The matrix of each group times its pixels, which stay as they lie in memory."""
    if problem.channels_last:
        return product(pixels.swapaxes(1, 2), matrices.swapaxes(1, 2)).swapaxes(1, 2)
    return product(matrices, pixels)
