"""Normalisation along an axis, and its gradients; called by the methods of the reference backend of the same names."""

from __future__ import annotations

import numpy as np

from fastconv.backends.numpy.geometry import fill
from fastconv.backends.protocol import Segments
from fastconv.pieces import pieces
from fastconv.typing import Array


def softmax(x: Array, log: bool, out: Array) -> None:
    for n, i in pieces(x.size, len(x), x.shape[2]):
        own = x[n, :, i]
        below = own - own.max(1, keepdims=True)
        powers = np.exp(below)
        total = powers.sum(1, dtype=np.float64, keepdims=True)
        out[n, :, i] = below - np.log(total) if log else powers / total


def softmax_gradient(grad_output: Array, output: Array, log: bool, out: Array) -> None:
    for n, i in pieces(out.size, len(out), out.shape[2]):
        slopes, y = grad_output[n, :, i], output[n, :, i]
        if log:
            out[n, :, i] = slopes - np.exp(y) * slopes.sum(1, dtype=np.float64, keepdims=True)
        else:
            out[n, :, i] = y * (slopes - (slopes * y).sum(1, dtype=np.float64, keepdims=True))


def segment_sums(x: Array, other: Array | None, centre: Array, segments: Segments, out: Array) -> None:
    source, factor = (None if a is None else a.reshape(segments) for a in (x, other))
    assert source is not None
    out[...] = 0
    for a, s, g, r in pieces(x.size, *segments):
        above = source[a, s, g, r].astype(np.float64) - centre[a, np.newaxis, g, np.newaxis]
        own = above if factor is None else factor[a, s, g, r]
        out[0, a, g] += own.sum((1, 3), dtype=np.float64)
        out[1, a, g] += (own * above).sum((1, 3))


def segment_affine(
    x: Array,
    centre: Array,
    scale: Array,
    shift: Array,
    other: Array | None,
    factor: Array | None,
    segments: Segments,
    out: Array,
) -> None:
    middle, times, plus = (a[:, np.newaxis, :, np.newaxis] for a in (centre, scale, shift))
    target, source = out.reshape(segments), x.reshape(segments)
    fill(target, lambda v, c, t, p: (v - c) * t + p, source, middle, times, plus)
    if other is not None and factor is not None:
        share = factor[:, np.newaxis, :, np.newaxis]
        fill(target, lambda y, v, t: y + v * t, target, other.reshape(segments), share)
