"""Gradient of normalisation across channels; called by the backend.

With the energies ``S[c] = k + alpha / size * sum of x[i]**2`` it is ``grad[c] / S[c]**beta - 2 * beta * alpha / size
* x[c] * sum of r[i]``, where ``r[i] = grad[i] * x[i] / S[i]**(beta + 1)``, over the channels whose energy `c` is in.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import device, kernel, read, unsigned, write
from fastconv.backends.numba.lines import clear
from fastconv.backends.numba.norm import pixels_of_block, sum_squares_first, sum_squares_last
from fastconv.backends.numba.totals import settle_every, take_all
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout

# Channels-first pixels at a time, at most.
_BLOCK = 128


def local_response_norm_gradient(
    x: Array,
    grad_output: Array,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    layout: Layout,
    out: Array,
) -> None:
    arguments = read(x), read(grad_output), write(out), size, alpha / size, beta, k
    work = 2 * min(size, x.shape[3 if channels_last(layout) else 1]) + 25
    if channels_last(layout):
        parallel.run(_last, x.size // x.shape[3], work * x.size, *arguments, x.shape[3])
        return
    plane = x.shape[2] * x.shape[3]
    block = pixels_of_block(_BLOCK, work * x.shape[1])
    blocks = -(-plane // block)
    parallel.run(_first, x.shape[0] * blocks, work * x.size, *arguments, x.shape[1], plane, block)


@device
def _divide(
    x: Array, grad: Array, origin: int, energy: Array, count: int, scale: float, beta: float, k: float, out: Array,
    ratio: Any, at: int,
) -> None:  # fmt: skip
    """The first term into `out`, and `ratio` of `count` neighbouring pixels."""
    start, to = unsigned(origin), unsigned(at)
    factor, constant, exponent = x.dtype.type(scale), x.dtype.type(k), x.dtype.type(-beta)
    for i in range(unsigned(count)):
        total = constant + factor * energy[i]
        if beta == 0.75:
            root = math.sqrt(total)
            share = grad[start + i] / (root * math.sqrt(root))
        else:
            share = grad[start + i] * total**exponent
        out[start + i] = share
        ratio[to + i] = share * x[start + i] / total


@device
def _subtract(
    x: Array, origin: int, sums: Array, first: int, count: int, scale: float, beta: float, out: Array
) -> None:
    start, factor = unsigned(origin), x.dtype.type(2 * beta * scale)
    for i in range(unsigned(count)):
        out[start + i] -= factor * x[start + i] * sums[unsigned(first) + i]


@kernel
def _first(
    start: int, stop: int, x: Array, grad: Array, out: Array, size: int, scale: float, beta: float, k: float,
    channels: int, plane: int, block: int,
) -> None:  # fmt: skip
    """Channels first. An item is a block of pixels of an image, in all channels."""
    sums, ratio = np.empty(block, x.dtype), np.empty(channels * block, x.dtype)
    totals, rests = np.empty(block, x.dtype), np.empty(block, x.dtype)
    blocks = (plane + block - 1) // block
    for item in range(start, stop):
        image, first = item // blocks, item % blocks * block
        count = min(block, plane - first)
        for channel in range(channels):
            sum_squares_first(x, image, channel, first, count, size, channels, plane, sums, totals, rests)
            at = (image * channels + channel) * plane + first
            _divide(x, grad, at, sums, count, scale, beta, k, out, ratio, channel * block)
        for channel in range(channels):
            clear(sums, 0, count)
            # The window is read backwards.
            low, high = max(0, channel - (size - 1) // 2), min(channels, channel + size // 2 + 1)
            for c in range(low, high):
                settle_every(c - low, sums, count, totals, rests)
                for i in range(unsigned(count)):
                    sums[i] += ratio[unsigned(c * block) + i]
            take_all(high - low, sums, count, totals, rests)
            _subtract(x, (image * channels + channel) * plane + first, sums, 0, count, scale, beta, out)


@kernel
def _last(
    start: int, stop: int, x: Array, grad: Array, out: Array, size: int, scale: float, beta: float, k: float,
    channels: int,
) -> None:  # fmt: skip
    """Channels last. An item is a pixel."""
    sums, ratio = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    totals, rests = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    below, above = min(size // 2, channels - 1), min((size - 1) // 2, channels - 1)
    for item in range(start, stop):
        sum_squares_last(x, item, size, channels, sums, totals, rests)
        _divide(x, grad, item * channels, sums, channels, scale, beta, k, out, ratio, 0)
        clear(sums, 0, channels)
        for shift in range(-above, below + 1):
            settle_every(shift + above, sums, channels, totals, rests)
            low, high = max(0, -shift), min(channels, channels - shift)
            for i in range(unsigned(high - low)):
                sums[unsigned(low) + i] += ratio[unsigned(low + shift) + i]
        take_all(below + above + 1, sums, channels, totals, rests)
        _subtract(x, item * channels, sums, 0, channels, scale, beta, out)
