"""An axis resampled by tables; called by the reference backend."""

from __future__ import annotations

import numpy as np

from fastconv.backends.numpy.geometry import pieces
from fastconv.typing import Array


def resample(x: Array, starts: Array, counts: Array, weights: Array, out: Array) -> None:
    for n, i in pieces(max(x.size, out.size), len(x), x.shape[2]):
        total = np.zeros_like(out[n, :, i])
        for tap in range(weights.shape[1]):
            used = np.flatnonzero(tap < counts)
            total[:, used] += x[n, :, i][:, starts[used] + tap] * weights[used, tap, np.newaxis]
        out[n, :, i] = total
