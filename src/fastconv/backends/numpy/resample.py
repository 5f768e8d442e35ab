"""An axis resampled by tables; called by the reference backend."""

from __future__ import annotations

import numpy as np

from fastconv.backends.numpy.sums import Sums, wider
from fastconv.pieces import pieces
from fastconv.typing import Array


def resample(x: Array, starts: Array, counts: Array, weights: Array, out: Array) -> None:
    """Tap by tap, or where outputs are fewer than taps, output by output."""
    for n, i in pieces(max(x.size, out.size), len(x), x.shape[2]):
        image = x[n, :, i]
        if len(counts) < weights.shape[1]:
            for o, (start, count) in enumerate(zip(starts, counts, strict=True)):
                terms = image[:, start : start + count].astype(wider(x.dtype))
                out[n, o, i] = weights[o, :count].astype(terms.dtype) @ terms
            continue
        total = Sums(out[n, :, i].shape, out.dtype)
        for tap in range(weights.shape[1]):
            used = np.flatnonzero(tap < counts)
            total.part()[:, used] += image[:, starts[used] + tap] * weights[used, tap, np.newaxis]
        out[n, :, i] = total.result()
