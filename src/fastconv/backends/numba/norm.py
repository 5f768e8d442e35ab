"""Normalisation across channels; called by the backend."""

from __future__ import annotations

import math

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import device, kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear
from fastconv.backends.numba.totals import settle_every, take_all
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout

# Channels-first pixels at a time, at most: their energies stay in a first-level cache.
_BLOCK = 512
# What a block of pixels may take, in nanoseconds: long ones are cut, for signals to be handled between them.
_LONG = 20_000_000


def local_response_norm(
    x: Array, size: int, alpha: float, beta: float, k: float, layout: Layout, out: Array
) -> None:
    """``x / (k + alpha / size * energy)**beta``, the energy being that of `size` neighbouring channels."""
    arguments = read(x), write(out), size, alpha / size, beta, k
    if channels_last(layout):
        parallel.run(
            _last, x.size // x.shape[3], (min(size, x.shape[3]) + 20) * x.size, *arguments, x.shape[3]
        )
        return
    plane, work = x.shape[2] * x.shape[3], min(size, x.shape[1]) + 20
    block = pixels_of_block(_BLOCK, work * x.shape[1])
    blocks = -(-plane // block)
    parallel.run(_first, x.shape[0] * blocks, work * x.size, *arguments, x.shape[1], plane, block)


def pixels_of_block(most: int, work: int) -> int:
    """Each of which takes `work` nanoseconds."""
    return max(16, min(most, _LONG // work))


@device
def sum_squares_first(
    x: Array, image: int, channel: int, first: int, count: int, size: int, channels: int, plane: int,
    sums: Array, totals: Array, rests: Array,
) -> None:  # fmt: skip
    """Those of `count` pixels from `first` on, over the channels that the energy of `channel` is of; channels first."""
    clear(sums, 0, count)
    low, high = max(0, channel - size // 2), min(channels, channel + (size - 1) // 2 + 1)
    for c in range(low, high):
        settle_every(c - low, sums, count, totals, rests)
        origin = unsigned((image * channels + c) * plane + first)
        for i in range(unsigned(count)):
            sums[i] += x[origin + i] * x[origin + i]
    take_all(high - low, sums, count, totals, rests)


@device
def sum_squares_last(
    x: Array, pixel: int, size: int, channels: int, sums: Array, totals: Array, rests: Array
) -> None:
    """Those of a pixel's channels, each over its neighbours; channels last."""
    clear(sums, 0, channels)
    below, above = min(size // 2, channels - 1), min((size - 1) // 2, channels - 1)
    for shift in range(-below, above + 1):
        settle_every(shift + below, sums, channels, totals, rests)
        low, high = max(0, -shift), min(channels, channels - shift)
        origin = unsigned(pixel * channels + low + shift)
        for i in range(unsigned(high - low)):
            sums[unsigned(low) + i] += x[origin + i] * x[origin + i]
    take_all(below + above + 1, sums, channels, totals, rests)


@device
def _divide(
    x: Array, origin: int, energy: Array, count: int, scale: float, beta: float, k: float, out: Array
) -> None:
    """Finish `count` neighbouring results; AlexNet's exponent without the power function, which is slow."""
    n, start = unsigned(count), unsigned(origin)
    factor, constant, exponent = x.dtype.type(scale), x.dtype.type(k), x.dtype.type(beta)
    if beta == 0.75:
        for i in range(n):
            root = math.sqrt(constant + factor * energy[i])
            out[start + i] = x[start + i] / (root * math.sqrt(root))
    else:
        for i in range(n):
            out[start + i] = x[start + i] / (constant + factor * energy[i]) ** exponent


@kernel
def _first(
    start: int, stop: int, x: Array, out: Array, size: int, scale: float, beta: float, k: float,
    channels: int, plane: int, block: int,
) -> None:  # fmt: skip
    """Channels first. An item is a block of pixels of an image, in all channels."""
    energy, totals, rests = np.empty(block, x.dtype), np.empty(block, x.dtype), np.empty(block, x.dtype)
    blocks = (plane + block - 1) // block
    for item in range(start, stop):
        image, first = item // blocks, item % blocks * block
        count = min(block, plane - first)
        for channel in range(channels):
            sum_squares_first(x, image, channel, first, count, size, channels, plane, energy, totals, rests)
            _divide(x, (image * channels + channel) * plane + first, energy, count, scale, beta, k, out)


@kernel
def _last(
    start: int, stop: int, x: Array, out: Array, size: int, scale: float, beta: float, k: float, channels: int
) -> None:
    """Channels last. An item is a pixel."""
    energy, totals, rests = (
        np.empty(channels, x.dtype),
        np.empty(channels, x.dtype),
        np.empty(channels, x.dtype),
    )
    for item in range(start, stop):
        sum_squares_last(x, item, size, channels, energy, totals, rests)
        _divide(x, item * channels, energy, channels, scale, beta, k, out)
