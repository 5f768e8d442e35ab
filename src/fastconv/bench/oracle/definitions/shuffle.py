"""Channels as pixels and back, and the gradients: every element is one of the argument's, named by its place."""

from __future__ import annotations

import numpy as np

from fastconv.bench.oracle.definitions.common import Array, Definition, copied


def pixel_shuffle(x: Array, upscale_factor: int) -> Definition:
    r = upscale_factor
    n, c, i, j = np.ogrid[: len(x), : x.shape[1] // r**2, : x.shape[2] * r, : x.shape[3] * r]
    return copied(x[n, c * r * r + i % r * r + j % r, i // r, j // r])


def pixel_unshuffle(x: Array, downscale_factor: int) -> Definition:
    r = downscale_factor
    n, c, i, j = np.ogrid[: len(x), : x.shape[1] * r**2, : x.shape[2] // r, : x.shape[3] // r]
    return copied(x[n, c // r**2, i * r + c // r % r, j * r + c % r])


def channel_shuffle(x: Array, groups: int) -> Definition:
    c = np.arange(x.shape[1])
    return copied(x[:, c % groups * (x.shape[1] // groups) + c // groups])


def pixel_shuffle_gradient(grad_output: Array, x: Array, upscale_factor: int) -> Definition:
    return pixel_unshuffle(grad_output, upscale_factor)


def pixel_unshuffle_gradient(grad_output: Array, x: Array, downscale_factor: int) -> Definition:
    return pixel_shuffle(grad_output, downscale_factor)


def channel_shuffle_gradient(grad_output: Array, x: Array, groups: int) -> Definition:
    return channel_shuffle(grad_output, x.shape[1] // groups)
