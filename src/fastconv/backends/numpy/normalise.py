"""Normalisation along an axis, and its gradients; called by the methods of the reference backend of the same names."""

from __future__ import annotations

import numpy as np

from fastconv.backends.numpy.geometry import pieces
from fastconv.typing import Array


def softmax(x: Array, log: bool, out: Array) -> None:
    for n, i in pieces(x.size, len(x), x.shape[2]):
        own = x[n, :, i]
        with np.errstate(invalid="ignore"):  # infinity - infinity
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
